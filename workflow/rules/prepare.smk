# From files as they came to canonical splits with statistics.


rule prepare_task:
    input:
        raw_files,
    output:
        "results/tasks/{task}/train.parquet",
        "results/tasks/{task}/validation.parquet",
        "results/tasks/{task}/test.parquet",
        "results/tasks/{task}/stats.json",
    log:
        "results/logs/prepare_task/{task}.log",
    benchmark:
        "results/benchmarks/prepare_task/{task}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=lambda w: digest_of(plan.preparation_settings(SETTINGS.tasks[w.task])),
        code=code_digest("steps.prepare_task"),
    shell:
        "python -m transfer_atlas prepare_task {wildcards.task} > {log} 2>&1"


# What an intermediate training must not see: texts on which a task trained after it is chosen or scored.
rule decontaminate:
    input:
        task=lambda w: task_files(
            SETTINGS.intermediates[w.intermediate].task, ["train", "validation"]
        ),
        later=lambda w: [
            file
            for task in plan.later_tasks(SETTINGS, PLAN, w.intermediate)
            for file in task_files(task, ["validation", "test"])
        ],
    output:
        left_out="results/decontamination/{intermediate}/left_out.json",
        counts="results/decontamination/{intermediate}/counts.json",
    log:
        "results/logs/decontaminate/{intermediate}.log",
    benchmark:
        "results/benchmarks/decontaminate/{intermediate}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        size=lambda w: SETTINGS.intermediates[w.intermediate].size,
        tasks=lambda w: [
            SETTINGS.intermediates[w.intermediate].task,
            *plan.later_tasks(SETTINGS, PLAN, w.intermediate),
        ],
        code=code_digest("steps.decontaminate"),
    shell:
        "python -m transfer_atlas decontaminate {wildcards.intermediate} > {log} 2>&1"


# Which texts tasks share.
rule compare_tasks:
    input:
        [file for task in study.compared_tasks(SETTINGS, PLAN) for file in task_files(task)],
    output:
        report("results/tables/overlap.csv", **study.in_report(Path("overlap.csv"))),
    log:
        "results/logs/compare_tasks.log",
    benchmark:
        "results/benchmarks/compare_tasks.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        tasks=study.compared_tasks(SETTINGS, PLAN),
        code=code_digest("steps.compare_tasks"),
    shell:
        "python -m transfer_atlas compare_tasks > {log} 2>&1"

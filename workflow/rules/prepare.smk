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


# Which texts tasks share: an intermediate task must not teach its target's test.
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

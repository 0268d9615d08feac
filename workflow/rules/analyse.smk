# From cells to tables: every declared run, and no other.


rule aggregate:
    input:
        cells=[plan.table_file(name) for name in BUNDLES],
        searches=[plan.search_file(name) for name in BUNDLES],
        trainings=[plan.training_file(state) for state in plan.intermediate_states(SETTINGS, PLAN)],
        decontaminations=[
            plan.decontamination_file(name) for name in plan.intermediates_of(SETTINGS, PLAN)
        ],
        scores=[plan.transferability_file(scored) for scored in SCORED.values()],
        published=list(SETTINGS.published.values()),
        probes=[plan.probes_file(state) for state in plan.diagnosed_states(SETTINGS)],
        domains="results/tables/domains.csv",
        statistics=[file for task in PLAN.tasks for file in task_files(task, splits=[])],
    output:
        [
            report(table, **study.in_report(table))
            for table in TABLES
            if table.name not in study.NOT_FROM_RUNS
        ],
    log:
        "results/logs/aggregate.log",
    benchmark:
        "results/benchmarks/aggregate.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        settings=digest_of(study.analysis_settings(SETTINGS, PLAN)),
        code=code_digest("steps.aggregate"),
    shell:
        "python -m transfer_atlas aggregate > {log} 2>&1"

# Figures, drawn from the tables alone.


rule plot:
    input:
        [table for table in TABLES if table.suffix == ".csv"],
    output:
        [report(figure, **study.in_report(figure)) for figure in FIGURES],
    log:
        "results/logs/plot.log",
    benchmark:
        "results/benchmarks/plot.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        settings=digest_of(study.labels(SETTINGS)),
        code=code_digest("steps.plot"),
    shell:
        "python -m transfer_atlas plot > {log} 2>&1"

# Only these rules touch the network: one at a time, with retries, checked and complete or not at all.


rule download:
    output:
        "results/artifacts/{artifact}/manifest.json",
    log:
        "results/logs/download/{artifact}.log",
    benchmark:
        "results/benchmarks/download/{artifact}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        network=1,
        mem_mb=1000,
        runtime=60,
    params:
        settings=lambda w: digest_of(SETTINGS.artifacts[w.artifact].model_dump(mode="json")),
    shell:
        "python -m transfer_atlas download {wildcards.artifact} > {log} 2>&1"

# Hidden states of all layers, once for each model state and task; heads and probes read these.


rule extract_features:
    input:
        model=lambda w: model_files(w.model),
        task=lambda w: task_files(w.task),
        weights=lambda w: state_weights(state_of(w)),
    output:
        "results/representations/{model}/{state}/{task}/{layout}/representations.json",
        expand(
            "results/representations/{{model}}/{{state}}/{{task}}/{{layout}}/{split}{kind}.npy",
            split=plan.SPLITS,
            kind=["", ".lengths", ".units"],
        ),
    log:
        "results/logs/extract_features/{model}/{state}/{task}/{layout}.log",
    benchmark:
        "results/benchmarks/extract_features/{model}/{state}/{task}/{layout}.tsv"
    wildcard_constraints:
        state=r"pretrained|[^/]+\.seed\d+|[^/]+~n(\d+|all)~seed\d+",
    priority: estimate.OPENING_PRIORITY
    conda:
        "../../envs/environment.yaml"
    resources:
        gpu=0,
        mem_mb=3000,
        runtime=240,
    params:
        settings=lambda w: digest_of(plan.representation_settings(SETTINGS, state_of(w), w.layout)),
        code=code_digest("steps.extract_features"),
    shell:
        "python -m transfer_atlas extract_features {wildcards.model} {wildcards.state}"
        " {wildcards.task} {wildcards.layout} > {log} 2>&1"

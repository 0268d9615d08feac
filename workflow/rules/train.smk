# Training on intermediate and target tasks. A job of fine-tuning is a cell: all its seeds and depths. Finished runs
# are taken from the run store.


rule train_intermediate:
    input:
        model=lambda w: model_files(w.model),
        task=lambda w: task_files(SETTINGS.intermediates[w.intermediate].task),
        target=lambda w: task_files(w.task, ["validation", "test"]),
    output:
        weights="results/intermediate/{model}/{intermediate}/{task}/seed{seed}/model.safetensors",
        run="results/intermediate/{model}/{intermediate}/{task}/seed{seed}/run.json",
    log:
        "results/logs/train_intermediate/{model}/{intermediate}/{task}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train_intermediate/{model}/{intermediate}/{task}/seed{seed}.tsv"
    priority: estimate.OPENING_PRIORITY + 1
    conda:
        "../../envs/environment.yaml"
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=720,
    params:
        settings=lambda w: digest_of(
            plan.cell_settings(SETTINGS, plan.cell_before(SETTINGS, state_of(w)))
        ),
        code=code_digest("steps.train_intermediate"),
    shell:
        "python -m transfer_atlas train_intermediate {wildcards.model} {wildcards.intermediate}"
        " {wildcards.task} {wildcards.seed} > {log} 2>&1"


rule finetune:
    input:
        model=lambda w: model_files(w.model),
        task=lambda w: task_files(w.task),
        states=lambda w: [
            file for state in plan.states_of(SETTINGS, cell_of(w)) for file in state_weights(state)
        ],
    output:
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.parquet",
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.predictions.parquet",
    log:
        "results/logs/finetune/{model}/{intermediate}/{task}/{recipe}/n{size}.log",
    benchmark:
        "results/benchmarks/finetune/{model}/{intermediate}/{task}/{recipe}/n{size}.tsv"
    wildcard_constraints:
        recipe=names(recipes_with("finetune")),
    priority: lambda w: estimate.priority(SETTINGS, cell_of(w))
    conda:
        "../../envs/environment.yaml"
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=720,
    params:
        settings=lambda w: digest_of(plan.cell_settings(SETTINGS, cell_of(w))),
        code=code_digest("steps.train"),
    shell:
        "python -m transfer_atlas train {wildcards.model}/{wildcards.intermediate}/{wildcards.task}/"
        "{wildcards.recipe}/none/n{wildcards.size} > {log} 2>&1"


# The same step on cells with surgery: keep the bottom k layers, reinitialise the others, fine-tune everything.
rule ablate_layers:
    input:
        model=lambda w: model_files(w.model),
        task=lambda w: task_files(w.task),
    output:
        "results/cells/{model}/none/{task}/{recipe}/{surgery}/n{size}.parquet",
        "results/cells/{model}/none/{task}/{recipe}/{surgery}/n{size}.predictions.parquet",
    log:
        "results/logs/ablate_layers/{model}/{task}/{recipe}/{surgery}/n{size}.log",
    benchmark:
        "results/benchmarks/ablate_layers/{model}/{task}/{recipe}/{surgery}/n{size}.tsv"
    wildcard_constraints:
        recipe=names(recipes_with("finetune")),
        surgery=names(SETTINGS.surgeries),
    priority: lambda w: estimate.priority(SETTINGS, cell_of(w))
    conda:
        "../../envs/environment.yaml"
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=1440,
    params:
        settings=lambda w: digest_of(plan.cell_settings(SETTINGS, cell_of(w))),
        code=code_digest("steps.train"),
    shell:
        "python -m transfer_atlas train {wildcards.model}/none/{wildcards.task}/"
        "{wildcards.recipe}/{wildcards.surgery}/n{wildcards.size} > {log} 2>&1"


# One job for all heads that read the same representations: every recipe, train size and seed.
rule train_heads:
    input:
        task=lambda w: task_files(w.task),
        representations=heads_inputs,
    output:
        "results/cells/{model}/{intermediate}/{task}/extract.{pooling}.parquet",
        "results/cells/{model}/{intermediate}/{task}/extract.{pooling}.predictions.parquet",
    log:
        "results/logs/train_heads/{model}/{intermediate}/{task}/{pooling}.log",
    benchmark:
        "results/benchmarks/train_heads/{model}/{intermediate}/{task}/{pooling}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        gpu=0,
        mem_mb=3000,
        runtime=240,
    params:
        settings=lambda w: digest_of(plan.bundle_settings(SETTINGS, heads_of(w))),
        code=code_digest("steps.train_heads"),
    shell:
        "python -m transfer_atlas train_heads {wildcards.model}/{wildcards.intermediate}/"
        "{wildcards.task}/extract.{wildcards.pooling} > {log} 2>&1"

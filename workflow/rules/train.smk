# Training on intermediate and target tasks. A job of fine-tuning is a cell: all its seeds and depths. Finished runs
# are taken from the run store.


rule train_intermediate:
    input:
        model=lambda w: model_files(w.model),
        task=lambda w: task_files(SETTINGS.intermediates[w.intermediate].task),
        left_out="results/decontamination/{intermediate}/left_out.json",
        states=lambda w: [
            file
            for state in plan.states_of(SETTINGS, plan.cell_before(SETTINGS, state_of(w)))
            for file in state_weights(state)
        ],
    output:
        weights="results/intermediate/{model}/{intermediate}/seed{seed}/model.safetensors",
        run="results/intermediate/{model}/{intermediate}/seed{seed}/run.json",
    log:
        "results/logs/train_intermediate/{model}/{intermediate}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train_intermediate/{model}/{intermediate}/seed{seed}.tsv"
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
        code=code_digest("steps.keep_weights"),
    shell:
        "python -m transfer_atlas train_intermediate {wildcards.model} {wildcards.intermediate}"
        " {wildcards.seed} > {log} 2>&1"


rule finetune:
    input:
        model=lambda w: model_files(w.model),
        task=lambda w: task_files(w.task),
        states=lambda w: [
            file for state in plan.states_of(SETTINGS, cell_of(w)) for file in state_weights(state)
        ],
        # A control counts the updates of an intermediate training.
        left_out=lambda w: left_out_files(cell_of(w).budget_of),
    output:
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.parquet",
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.predictions.parquet",
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.search.parquet",
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


# The same step on cells with surgery: reinitialise or reorder some layers first, then fine-tune everything.
rule ablate_layers:
    input:
        model=lambda w: model_files(w.model),
        task=lambda w: task_files(w.task),
    output:
        "results/cells/{model}/none/{task}/{recipe}/{surgery}/n{size}.parquet",
        "results/cells/{model}/none/{task}/{recipe}/{surgery}/n{size}.predictions.parquet",
        "results/cells/{model}/none/{task}/{recipe}/{surgery}/n{size}.search.parquet",
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
        "results/cells/{model}/{intermediate}/{task}/extract.{layout}.parquet",
        "results/cells/{model}/{intermediate}/{task}/extract.{layout}.predictions.parquet",
        "results/cells/{model}/{intermediate}/{task}/extract.{layout}.search.parquet",
    log:
        "results/logs/train_heads/{model}/{intermediate}/{task}/{layout}.log",
    benchmark:
        "results/benchmarks/train_heads/{model}/{intermediate}/{task}/{layout}.tsv"
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
        "{wildcards.task}/extract.{wildcards.layout} > {log} 2>&1"


# Heads that read the states of all tokens or words are slower to train: one job for each cell.
rule train_sequence_heads:
    input:
        task=lambda w: task_files(w.task),
        representations=lambda w: [
            plan.representations_file(state, plan.layout(SETTINGS, cell_of(w)).name)
            for state in plan.states_of(SETTINGS, cell_of(w))
        ],
    output:
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.parquet",
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.predictions.parquet",
        "results/cells/{model}/{intermediate}/{task}/{recipe}/none/n{size}.search.parquet",
    log:
        "results/logs/train_sequence_heads/{model}/{intermediate}/{task}/{recipe}/n{size}.log",
    benchmark:
        "results/benchmarks/train_sequence_heads/{model}/{intermediate}/{task}/{recipe}/n{size}.tsv"
    wildcard_constraints:
        recipe=names(recipes_with("extract")),
    priority: lambda w: estimate.priority(SETTINGS, cell_of(w))
    conda:
        "../../envs/environment.yaml"
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=720,
    params:
        settings=lambda w: digest_of(plan.cell_settings(SETTINGS, cell_of(w))),
        code=code_digest("steps.train_sequence_heads"),
    shell:
        "python -m transfer_atlas train_sequence_heads {wildcards.model}/{wildcards.intermediate}/"
        "{wildcards.task}/{wildcards.recipe}/none/n{wildcards.size} > {log} 2>&1"


# The weights of a fine-tuned run whose layers are probed; they wait in the run store.
rule keep_weights:
    input:
        lambda w: plan.table_file(plan.cell_of_finetuned(state_of(w)).name),
    output:
        "results/finetuned/{model}/{task}/{recipe}/n{size}/seed{seed}/model.safetensors",
        "results/finetuned/{model}/{task}/{recipe}/n{size}/seed{seed}/run.json",
    log:
        "results/logs/keep_weights/{model}/{task}/{recipe}/n{size}.seed{seed}.log",
    benchmark:
        "results/benchmarks/keep_weights/{model}/{task}/{recipe}/n{size}.seed{seed}.tsv"
    wildcard_constraints:
        recipe=names(recipes_with("finetune")),
    conda:
        "../../envs/environment.yaml"
    resources:
        gpu=0,
        mem_mb=4000,
        runtime=720,
    params:
        code=code_digest("steps.keep_weights"),
    shell:
        "python -m transfer_atlas keep_weights {wildcards.model}"
        " {wildcards.recipe}~n{wildcards.size}~seed{wildcards.seed} {wildcards.task} > {log} 2>&1"

# Can one know before training? Scores of states after an intermediate task on targets that they were not trained on.


rule score_transferability:
    input:
        task=lambda w: task_files(w.task, ["train"]),
        source=lambda w: task_files(SETTINGS.intermediates[w.intermediate].task, ["train"]),
        representations=lambda w: [
            plan.representations_file(state, layout.name)
            for state, layout in plan.scored_representations(SETTINGS, scored_at(w))
        ],
        weights=lambda w: [
            file for state in scored_at(w).trained.values() for file in state_weights(state)
        ],
    output:
        "results/transferability/{model}/{intermediate}/{task}.csv",
    log:
        "results/logs/score_transferability/{model}/{intermediate}/{task}.log",
    benchmark:
        "results/benchmarks/score_transferability/{model}/{intermediate}/{task}.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=3000,
        runtime=60,
    params:
        settings=lambda w: digest_of(plan.scored_settings(SETTINGS, scored_at(w))),
        code=code_digest("steps.score_transferability"),
    shell:
        "python -m transfer_atlas score_transferability {wildcards.model}"
        " {wildcards.intermediate} {wildcards.task} > {log} 2>&1"

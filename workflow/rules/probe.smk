# What each layer knows of the labels, before and after fine-tuning.


rule probe_layers:
    input:
        task=lambda w: task_files(w.task),
        representations=lambda w: [
            plan.representations_file(state, plan.probed_layout(SETTINGS, state).name)
            for state in probed_states(w)
        ],
    output:
        "results/probes/{model}/{task}/{recipe}/n{size}.seed{seed}.csv",
    log:
        "results/logs/probe_layers/{model}/{task}/{recipe}/n{size}.seed{seed}.log",
    benchmark:
        "results/benchmarks/probe_layers/{model}/{task}/{recipe}/n{size}.seed{seed}.tsv"
    wildcard_constraints:
        recipe=names(recipes_with("finetune")),
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        measures=lambda w: plan.measures_of(SETTINGS, state_of(w)),
        metric=lambda w: SETTINGS.tasks[w.task].main_metric,
        code=code_digest("steps.probe_layers"),
    shell:
        "python -m transfer_atlas probe_layers {wildcards.model}"
        " {wildcards.recipe}~n{wildcards.size}~seed{wildcards.seed} {wildcards.task} > {log} 2>&1"


# The gain of fine-tuning in each genre against the genre's distance from what the encoder was pretrained on.
rule compare_domains:
    input:
        predictions=lambda w: [
            plan.predictions_file(name)
            for name, bundle in BUNDLES.items()
            if bundle.cells[0].task in {entry.task for entry in SETTINGS.domains}
        ],
        tasks=[
            file
            for entry in SETTINGS.domains
            for file in [
                *task_files(entry.task, ["test"]),
                *task_files(entry.reference, ["train"]),
            ]
        ],
    output:
        report("results/tables/domains.csv", **study.in_report(Path("domains.csv"))),
        report(
            "results/tables/domain_correlations.csv",
            **study.in_report(Path("domain_correlations.csv")),
        ),
    log:
        "results/logs/compare_domains.log",
    benchmark:
        "results/benchmarks/compare_domains.tsv"
    conda:
        "../../envs/environment.yaml"
    resources:
        mem_mb=2000,
        runtime=60,
    params:
        domains=[entry.model_dump(mode="json") for entry in SETTINGS.domains],
        metrics={entry.task: SETTINGS.tasks[entry.task].main_metric for entry in SETTINGS.domains},
        code=code_digest("steps.compare_domains"),
    shell:
        "python -m transfer_atlas compare_domains > {log} 2>&1"

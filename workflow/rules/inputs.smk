# What jobs read, by their wildcards.
SCORED = {scored.place: scored for scored in plan.scored(SETTINGS)}


def model_files(model):
    """What loading a model depends on."""
    return plan.manifest_file(SETTINGS.models[model].artifact)


def task_files(task, splits=plan.SPLITS):
    """What reading a prepared task depends on."""
    return [
        plan.task_folder(task) / name
        for name in [*(f"{split}.parquet" for split in splits), "stats.json"]
    ]


def raw_files(wildcards):
    """What preparing a task reads: the artifact's manifest, or the user's own files."""
    task = SETTINGS.tasks[wildcards.task]
    if task.artifact is not None:
        return plan.manifest_file(task.artifact)
    return study.own_files(task)


def state_weights(state):
    """Weights of a state after training, and the file that says which they are; nothing for the pretrained one."""
    if state.is_pretrained:
        return []
    # Entries that come to the same training share one file of weights, whose time changes when the last of them is
    # done: it tells nothing.
    return [ancient(plan.weights_file(state)), plan.training_file(state)]


def probed_states(wildcards):
    """The state after fine-tuning at these wildcards, and the pretrained one."""
    state = state_of(wildcards)
    return [plan.State(state.model, plan.NONE, state.task, None), state]


def heads_of(wildcards):
    """The plan's feature-extraction cells that read the representations at these wildcards."""
    name = "{w.model}/{w.intermediate}/{w.task}/extract.{w.layout}".format(w=wildcards)
    if name not in BUNDLES:
        raise WorkflowError(f"no experiment in the configuration selects {name}")
    return BUNDLES[name]


def heads_inputs(wildcards):
    """Representations of every state that the heads' runs start from."""
    return [
        plan.representations_file(state, wildcards.layout)
        for state in plan.states_of(SETTINGS, *heads_of(wildcards).cells)
    ]


def scored_at(wildcards):
    """What is scored of a model, intermediate entry and target."""
    place = (wildcards.model, wildcards.intermediate, wildcards.task)
    if place not in SCORED:
        raise WorkflowError(
            f"no entry of transferability in the configuration names {'/'.join(place)}"
        )
    return SCORED[place]


def left_out_files(intermediate):
    """What counting the updates of an intermediate entry depends on; nothing where there is none."""
    chain = [] if intermediate is None else plan.chain_of(SETTINGS, intermediate)
    return [plan.left_out_file(name) for name in chain]

# Load and validate the settings, expand them into cells, and the few helpers that all rules share.
import gc
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from transfer_atlas import estimate, plan, study
from transfer_atlas.configuration import problems
from transfer_atlas.errors import UserError
from transfer_atlas.identity import code_digest, digest_of

# Planning thousands of jobs makes objects that all stay; looking through them again and again took a third of the time.
gc.set_threshold(200_000, 50, 50)
study.put_interpreter_on_path()

try:
    SETTINGS = problems.load(config, [Path(file) for file in workflow.configfiles])
    PLAN = plan.expand(SETTINGS)
    BUNDLES = plan.bundles(SETTINGS, PLAN)
    study.check_files(SETTINGS, PLAN)
    study.check_sizes(SETTINGS, PLAN)
    study.check_kept_heads(SETTINGS, PLAN)
except UserError as error:
    print(error, file=sys.stderr)
    raise SystemExit(1)

TABLES = [plan.RESULTS / "tables" / name for name in study.TABLES]
FIGURES = [
    plan.RESULTS / "figures" / f"{name}.{ending}"
    for name in study.FIGURES
    for ending in ("svg", "png")
]


def names(group):
    """A wildcard pattern of declared names; never empty, so that it cannot match everything."""
    return "|".join(sorted(map(re_escape, group))) or "(?!)"


def re_escape(name):
    """Names hold letters, digits, - _ and dots; only the dot means something in a pattern."""
    return name.replace(".", r"\.")


def recipes_with(method):
    """Names of the recipes with this method."""
    return [name for name, recipe in SETTINGS.recipes.items() if recipe.method == method]


wildcard_constraints:
    artifact=names(SETTINGS.artifacts),
    model=names(SETTINGS.models),
    task=names(SETTINGS.tasks),
    intermediate=names(
        [plan.NONE, *SETTINGS.intermediates, *map(plan.control_of, SETTINGS.intermediates)]
    ),
    size=r"\d+|all",
    seed=r"\d+",
    layout=r"[a-z.]+",


def cell_of(wildcards):
    """The plan's cell at these wildcards."""
    surgery = getattr(wildcards, "surgery", plan.NONE)
    place = plan.Cell(
        wildcards.model,
        getattr(wildcards, "intermediate", plan.NONE),
        wildcards.task,
        wildcards.recipe,
        surgery,
        wildcards.size,
    )
    if place.name not in PLAN.cells:
        raise WorkflowError(f"no experiment in the configuration selects the cell {place.name}")
    return PLAN.cells[place.name]


def state_of(wildcards):
    """The model state at these wildcards."""
    if hasattr(wildcards, "state"):
        return plan.State.parse(wildcards.model, wildcards.state, wildcards.task)
    if hasattr(wildcards, "recipe"):
        name = "{w.recipe}~n{w.size}~seed{w.seed}".format(w=wildcards)
        return plan.State.parse(wildcards.model, name, wildcards.task)
    task = SETTINGS.intermediates[wildcards.intermediate].task
    return plan.State(wildcards.model, wildcards.intermediate, task, int(wildcards.seed))


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


def left_out_files(intermediate):
    """What counting the updates of an intermediate entry depends on; nothing where there is none."""
    chain = [] if intermediate is None else plan.chain_of(SETTINGS, intermediate)
    return [plan.left_out_file(name) for name in chain]


def scored_at(wildcards):
    """What is scored of a model, intermediate entry and target."""
    place = (wildcards.model, wildcards.intermediate, wildcards.task)
    for scored in plan.scored(SETTINGS):
        if (scored.model, scored.intermediate, scored.task) == place:
            return scored
    raise WorkflowError(f"no entry of transferability in the configuration names {'/'.join(place)}")


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


def start_study():
    """Before the first job: the settings that the steps read, and what is ahead."""
    study.write_settings(SETTINGS)
    print(study.describe_plan(SETTINGS, PLAN, cores=workflow.cores), file=sys.stderr, flush=True)


def finish_study():
    """After the last job: where the results are and what they say."""
    print(study.describe_results(), file=sys.stderr, flush=True)

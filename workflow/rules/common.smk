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


def start_study():
    """Before the first job: the settings that the steps read, and what is ahead."""
    study.write_settings(SETTINGS)
    print(study.describe_plan(SETTINGS, PLAN, cores=workflow.cores), file=sys.stderr, flush=True)


def finish_study():
    """After the last job: where the results are and what they say."""
    print(study.describe_results(), file=sys.stderr, flush=True)

"""From settings to work: which cells and runs a configuration selects, where they lie, and what identifies them.

Pure functions on settings; the Snakefile, the steps and `status` all ask here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from transfer_atlas import candidates, surgeries
from transfer_atlas.identity import code_digest, digest_of
from transfer_atlas.layout import Layout, layout_of
from transfer_atlas.settings import PAIR_TYPES, Experiment, Intermediate, Recipe, Settings, Surgery, Task
from transfer_atlas.surgeries import Operation

NONE = "none"
NO_SURGERY = Surgery(kind="none")

RESULTS = Path("results")
SETTINGS_FILE = RESULTS / "settings.json"
STORE = RESULTS / "store"
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, order=True)
class Run:
    """One training: where a surgery acts, or which layer is probed (None where neither is asked for), and the seed."""

    depth: int | None
    seed: int


@dataclass(frozen=True)
class Cell:
    """All runs that differ only in seed and surgery depth.

    `target` is set for intermediate training only: the task whose evaluation texts are left out. `candidate` is set
    where one of the recipe's candidates is trained (`candidates.py`): a trial, or runs whose search has ended. `kept`
    are the seeds whose trained weights another step needs.
    """

    model: str
    intermediate: str
    task: str
    recipe: str
    surgery: str
    size: int | Literal["all"]
    runs: tuple[Run, ...] = ()
    target: str | None = None
    candidate: int | None = None
    kept: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """What tells the cell from others."""
        # No recipe of a configuration can be called so.
        recipe = self.recipe if self.candidate is None else f"{self.recipe}~{self.candidate}"
        return f"{self.model}/{self.intermediate}/{self.task}/{recipe}/{self.surgery}/n{self.size}"


@dataclass(frozen=True)
class Bundle:
    """Cells that one job does and one table holds.

    A cell is a bundle of its own, but all feature-extraction cells whose heads read the same pooled representations
    (same model, intermediate task, task and layout) are one: starting a process takes longer than training such heads.
    """

    name: str
    cells: tuple[Cell, ...]

    @property
    def runs(self) -> list[tuple[Cell, Run]]:
        """The runs of all cells, in order."""
        return [(cell, run) for cell in self.cells for run in cell.runs]


@dataclass(frozen=True, order=True)
class State:
    """A model state that representations are taken of: pretrained, after an intermediate task, or after fine-tuning.

    `recipe` and `size` are set for a state after fine-tuning on the task itself.
    """

    model: str
    intermediate: str
    task: str
    seed: int | None
    recipe: str | None = None
    size: int | Literal["all"] | None = None

    @property
    def name(self) -> str:
        """`pretrained`, intermediate task and seed, or recipe, size and seed."""
        if self.recipe is not None:
            return f"{self.recipe}~n{self.size}~seed{self.seed}"
        return "pretrained" if self.intermediate == NONE else f"{self.intermediate}.seed{self.seed}"

    @property
    def is_pretrained(self) -> bool:
        """Whether nothing was trained yet."""
        return self.intermediate == NONE and self.recipe is None

    @staticmethod
    def parse(model: str, name: str, task: str) -> State:
        """The state that is called `name` for this model and task."""
        if name == "pretrained":
            return State(model, NONE, task, None)
        if "~" in name:
            recipe, size, seed = name.split("~")
            examples = size.removeprefix("n")
            return State(
                model, NONE, task, int(seed.removeprefix("seed")), recipe, "all" if examples == "all" else int(examples)
            )
        intermediate, seed = name.rsplit(".seed", 1)
        return State(model, intermediate, task, int(seed))


@dataclass(frozen=True)
class Plan:
    """Everything that a configuration asks for."""

    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def tasks(self) -> list[str]:
        """Target tasks, in order of name."""
        return sorted({cell.task for cell in self.cells.values()})

    @property
    def runs(self) -> int:
        """Number of (cell, depth, seed)."""
        return sum(len(cell.runs) for cell in self.cells.values())


def surgery_of(settings: Settings, name: str) -> Surgery:
    """The surgery entry; `none` needs no entry."""
    return NO_SURGERY if name == NONE else settings.surgeries[name]


def recipe_of(settings: Settings, cell: Cell, run: Run | None = None) -> Recipe:
    """The recipe that a cell is trained with, its candidate's where it is one's; of a run, with the layer that it
    reads."""
    recipe = settings.recipes[cell.recipe]
    if cell.candidate is not None:
        recipe = candidates.candidate_of(recipe, cell.candidate)
    if run is not None and recipe.layer == "each":
        recipe = recipe.model_copy(update={"layer": run.depth})
    return recipe


def operation_of(settings: Settings, cell: Cell, run: Run) -> Operation:
    """What is done to which layers before a run."""
    surgery = surgery_of(settings, cell.surgery)
    if surgery.kind == "none":
        return Operation()
    assert run.depth is not None, f"{cell.name} has a surgery that acts nowhere"
    return surgeries.operation(surgery, run.depth, settings.models[cell.model].layers)


def searches(settings: Settings, cell: Cell) -> bool:
    """Whether the cell's hyper-parameters are still to be chosen."""
    return cell.candidate is None and bool(settings.recipes[cell.recipe].search)


def trials_of(settings: Settings, cell: Cell) -> list[Cell]:
    """The trials by which a cell's hyper-parameters are chosen, one cell for each candidate; none without a search."""
    if not searches(settings, cell):
        return []
    recipe = settings.recipes[cell.recipe]
    runs = tuple(Run(None, seed) for seed in recipe.search_seeds)
    return [replace(cell, candidate=candidate, runs=runs) for candidate in candidates.tried(recipe)]


def number_of_trials(settings: Settings, cell: Cell) -> int:
    """How many trainings choosing a cell's hyper-parameters takes."""
    return candidates.budget(settings.recipes[cell.recipe]) if searches(settings, cell) else 0


def expand(settings: Settings) -> Plan:
    """Every combination that the experiments list, each cell once with the runs of all that select it.

    Surgery applies to fine-tuning of the pretrained encoder; combinations of surgery with extraction or with an
    intermediate task are not made.
    """
    runs: dict[Cell, set[Run]] = {}
    for experiment in settings.experiments:
        for model, surgery, recipe in product(experiment.models, experiment.surgeries, experiment.recipes):
            depths = depths_of(settings, experiment, model, surgery, recipe)
            frozen = settings.recipes[recipe].method == "extract"
            for intermediate in experiment.intermediates:
                if surgery != NONE and (frozen or intermediate != NONE):
                    continue
                for task, size in product(experiment.tasks, experiment.sizes):
                    cell = Cell(model, intermediate, task, recipe, surgery, size)
                    runs.setdefault(cell, set()).update(
                        Run(depth, seed) for depth in depths for seed in experiment.seeds
                    )
    kept: dict[Cell, set[int]] = {}
    for state in diagnosed_states(settings):
        cell = cell_of_finetuned(state)
        assert state.seed is not None
        runs.setdefault(cell, set()).add(Run(None, state.seed))
        kept.setdefault(cell, set()).add(state.seed)
    cells = {}
    for cell in sorted(runs, key=lambda cell: cell.name):
        ordered = tuple(sorted(runs[cell], key=lambda run: (-1 if run.depth is None else run.depth, run.seed)))
        cells[cell.name] = replace(cell, runs=ordered, kept=tuple(sorted(kept.get(cell, ()))))
    return Plan(cells)


def depths_of(
    settings: Settings, experiment: Experiment, model: str, surgery: str, recipe: str
) -> Sequence[int | None]:
    """Where an experiment lets a surgery act on a model, or which layers a recipe with `layer: each` reads."""
    entry = settings.models[model]
    if surgery != NONE:
        possible = surgeries.possible_depths(settings.surgeries[surgery], entry.layers, entry.shared_layers)
    elif settings.recipes[recipe].layer == "each":
        possible = list(range(entry.layers + 1))
    else:
        return [None]
    return possible if experiment.depths == "all" else list(experiment.depths)


def diagnosed_states(settings: Settings) -> list[State]:
    """The fine-tuned states whose layers are diagnosed, each once, in a fixed order."""
    states = {
        State(model, NONE, task, seed, recipe, size): None
        for diagnostic in settings.diagnostics
        for model in diagnostic.models
        for task in diagnostic.tasks
        for recipe in diagnostic.recipes
        for size in diagnostic.sizes
        for seed in diagnostic.seeds
    }
    return list(states)


def measures_of(settings: Settings, state: State) -> list[str]:
    """What is measured of the layers of a diagnosed state."""
    asked = {
        measure
        for diagnostic in settings.diagnostics
        if state.model in diagnostic.models
        and state.task in diagnostic.tasks
        and state.recipe in diagnostic.recipes
        and state.size in diagnostic.sizes
        and state.seed in diagnostic.seeds
        for measure in diagnostic.measures
    }
    return sorted(asked)


def probed_layout(settings: Settings, state: State) -> Layout:
    """Layers are probed on the mean of a text's tokens, pairs encoded as one (Peters et al. 2019, section 5).

    ELMo encodes them separately.
    """
    separate = settings.models[state.model].kind == "elmo" and settings.tasks[state.task].type in PAIR_TYPES
    return Layout("tokens", separate, None, "mean")


def keeps_weights(cell: Cell, run: Run) -> bool:
    """Whether another step needs the weights of a run."""
    return cell.target is not None or run.seed in cell.kept


def cell_of_finetuned(state: State) -> Cell:
    """The cell whose training made a state; without its runs."""
    assert state.recipe is not None and state.size is not None, f"{state} is no state after fine-tuning"
    return Cell(state.model, NONE, state.task, state.recipe, NONE, state.size)


def bundle_name(settings: Settings, cell: Cell) -> str:
    """Place of the cell's table below `results/cells`, without ending."""
    laid_out = layout(settings, cell)
    if settings.recipes[cell.recipe].method == "finetune" or laid_out.pooled is None:
        return replace(cell, candidate=None).name
    return f"{cell.model}/{cell.intermediate}/{cell.task}/extract.{laid_out.name}"


def layout(settings: Settings, cell: Cell) -> Layout:
    """What the heads of a cell read of its model."""
    return layout_of(settings.tasks[cell.task], settings.models[cell.model], settings.recipes[cell.recipe])


def bundles(settings: Settings, selected: Plan) -> dict[str, Bundle]:
    """The cells of a plan by the job that does them, in order of name."""
    cells: dict[str, list[Cell]] = {}
    for cell in selected.cells.values():
        cells.setdefault(bundle_name(settings, cell), []).append(cell)
    return {name: Bundle(name, tuple(cells[name])) for name in sorted(cells)}


def intermediate_seed(intermediate: Intermediate, seed: int) -> int:
    """Seed of the intermediate training that a target run with `seed` starts from."""
    return seed if intermediate.seed == "paired" else int(intermediate.seed)


def intermediate_cell(settings: Settings, model: str, intermediate: str, target: str, seed: int) -> Cell:
    """The intermediate training (one run) before target `target`."""
    entry = settings.intermediates[intermediate]
    return Cell(model, NONE, entry.task, entry.recipe, NONE, entry.size, (Run(None, seed),), target)


def bundle_before(settings: Settings, state: State) -> Bundle:
    """The job of the one training that makes a state."""
    cell = cell_before(settings, state)
    whose = "" if cell.target is None else f".for.{cell.target}"
    return Bundle(f"{cell.name}{whose}.seed{state.seed}", (cell,))


def cell_before(settings: Settings, state: State) -> Cell:
    """The training, of one run, that makes a state."""
    assert state.seed is not None, f"{state} is the pretrained state"
    if state.recipe is not None:
        return replace(cell_of_finetuned(state), runs=(Run(None, state.seed),), kept=(state.seed,))
    return intermediate_cell(settings, state.model, state.intermediate, state.task, state.seed)


def state_of(settings: Settings, cell: Cell, seed: int) -> State:
    """The model state that a run of this cell starts from."""
    if cell.intermediate == NONE:
        return State(cell.model, NONE, cell.task, None)
    return State(
        cell.model, cell.intermediate, cell.task, intermediate_seed(settings.intermediates[cell.intermediate], seed)
    )


def states_of(settings: Settings, *cells: Cell) -> list[State]:
    """The distinct states that the cells' runs and their trials start from."""
    found: set[State] = set()
    for cell in cells:
        seeds = {run.seed for run in cell.runs}
        if searches(settings, cell):
            seeds.update(settings.recipes[cell.recipe].search_seeds)
        found.update(state_of(settings, cell, seed) for seed in seeds)
    return sorted(found, key=lambda state: state.name)


def title_of(cell: Cell, run: Run) -> str:
    """How logs name a run."""
    depth = "" if run.depth is None else f" depth={run.depth}"
    return f"{cell.name}{depth} seed={run.seed}"


# --- places ------------------------------------------------------------------------------------------------


def artifact_folder(name: str) -> Path:
    """Where an artifact's manifest and files lie."""
    return RESULTS / "artifacts" / name


def manifest_file(name: str) -> Path:
    """The file that says that an artifact is complete."""
    return artifact_folder(name) / "manifest.json"


def task_folder(name: str) -> Path:
    """Where a prepared task lies."""
    return RESULTS / "tasks" / name


def table_file(name: str) -> Path:
    """The table of a bundle's runs."""
    return RESULTS / "cells" / f"{name}.parquet"


def search_file(name: str) -> Path:
    """How the hyper-parameters of a bundle's cells were chosen."""
    return RESULTS / "cells" / f"{name}.search.parquet"


def predictions_file(name: str) -> Path:
    """The predictions of a bundle's runs."""
    return RESULTS / "cells" / f"{name}.predictions.parquet"


def weights_folder(state: State) -> Path:
    """Where the weights after an intermediate task, or after fine-tuning, lie."""
    if state.recipe is not None:
        return RESULTS / "finetuned" / state.model / state.task / state.recipe / f"n{state.size}" / f"seed{state.seed}"
    return RESULTS / "intermediate" / state.model / state.intermediate / state.task / f"seed{state.seed}"


def weights_file(state: State) -> Path:
    """The encoder's and head's weights after an intermediate task, or after fine-tuning."""
    return weights_folder(state) / "model.safetensors"


def training_file(state: State) -> Path:
    """Where an intermediate training says how it went."""
    return weights_folder(state) / "run.json"


def representation_folder(state: State, layout_name: str) -> Path:
    """Where the representations of a state on its task lie."""
    return RESULTS / "representations" / state.model / state.name / state.task / layout_name


def representations_file(state: State, layout_name: str) -> Path:
    """The file that says that representations are complete."""
    return representation_folder(state, layout_name) / "representations.json"


def probes_file(state: State) -> Path:
    """What probes found in the layers of a state after fine-tuning."""
    place = RESULTS / "probes" / state.model / state.task / str(state.recipe)
    return place / f"n{state.size}.seed{state.seed}.csv"


def model_folder(settings: Settings, model: str) -> Path:
    """Where the pretrained encoder's files lie."""
    entry = settings.models[model]
    return artifact_folder(entry.artifact) / "files" / entry.folder


# --- what jobs depend on -----------------------------------------------------------------------------------

# Of a task's settings: what preparation reads, and what training reads. The rest is for show.
_PREPARED = set(["type", "artifact", "files", "format", "quoting", "header", "columns", "extra_columns", "encoding"])
_PREPARED |= set(["fields", "where", "labels", "tags", "score_range", "carve", "limit", "bad_rows"])


def preparation_settings(task: Task) -> dict[str, Any]:
    """The settings that the prepared data depend on."""
    return task.model_dump(mode="json", include=_PREPARED)


def model_settings(settings: Settings, model: str) -> dict[str, Any]:
    """The settings that the loaded encoder depends on."""
    return settings.models[model].model_dump(
        mode="json", include={"artifact", "folder", "kind", "layers", "shared_layers"}
    )


def _shown_apart(entry: Surgery | Intermediate) -> dict[str, Any]:
    """All settings of an entry but the label, which only tables and figures show."""
    return entry.model_dump(mode="json", exclude={"label"})


def _recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """What a run is trained with, which does not say how that was chosen."""
    return recipe.model_dump(mode="json", exclude={"label", "search", "trials", "search_seeds"})


def _search_settings(task: Task, recipe: Recipe) -> dict[str, Any] | None:
    """What the choice of hyper-parameters depends on beyond the trials themselves."""
    if not recipe.search:
        return None
    chosen = recipe.model_dump(mode="json", include={"search", "trials", "search_seeds"})
    return {**chosen, "metric": task.main_metric}


def _task_settings(task: Task, recipe: Recipe) -> dict[str, Any]:
    selects = {"metric": task.main_metric} if recipe.select == "best" else {}
    tags = {"tags": task.tags} if task.type == "token_labelling" else {}
    return {"type": task.type, "max_length": task.max_length, **tags, **selects}


def _intermediate_settings(settings: Settings, name: str) -> dict[str, Any] | None:
    if name == NONE:
        return None
    entry = settings.intermediates[name]
    recipe = settings.recipes[entry.recipe]
    return {
        **_shown_apart(entry),
        "recipe": _recipe_settings(recipe),
        "task_settings": _task_settings(settings.tasks[entry.task], recipe),
    }


def _engine_settings(settings: Settings, method: str) -> dict[str, Any]:
    """How runs are computed, as far as it concerns a method: encoding alone, or training the encoder too."""
    return settings.engine.model_dump(mode="json", include={"batching", "layers"} if method == "extract" else None)


def cell_settings(settings: Settings, cell: Cell) -> dict[str, Any]:
    """Every setting that a cell's runs depend on."""
    recipe = recipe_of(settings, cell)
    return {
        "cell": cell.name,
        "target": cell.target,
        "runs": [[run.depth, run.seed] for run in cell.runs],
        "kept": cell.kept,
        "model": model_settings(settings, cell.model),
        "task": _task_settings(settings.tasks[cell.task], recipe),
        "recipe": _recipe_settings(recipe),
        "search": _search_settings(settings.tasks[cell.task], recipe),
        "surgery": _shown_apart(surgery_of(settings, cell.surgery)),
        "intermediate": _intermediate_settings(settings, cell.intermediate),
        "engine": _engine_settings(settings, recipe.method),
    }


def bundle_settings(settings: Settings, bundle: Bundle) -> list[dict[str, Any]]:
    """Every setting that a bundle's table depends on: what its rule declares as `params`."""
    return [cell_settings(settings, cell) for cell in bundle.cells]


def representation_settings(settings: Settings, state: State, layout_name: str) -> dict[str, Any]:
    """Every setting that representations depend on."""
    return {
        "model": model_settings(settings, state.model),
        "max_length": settings.tasks[state.task].max_length,
        "layout": layout_name,
        "intermediate": _intermediate_settings(settings, state.intermediate),
        "recipe": None if state.recipe is None else _recipe_settings(settings.recipes[state.recipe]),
        "size": state.size,
        "seed": state.seed,
        "engine": _engine_settings(settings, "extract"),
    }


# --- identity of a run -------------------------------------------------------------------------------------

# The modules that compute a run's result, as opposed to those that store or tabulate it.
CODE_OF_METHOD = {
    "finetune": ("training.finetuning",),
    "extract": ("representations.features", "representations.extraction", "models.loading"),
}


@dataclass(frozen=True)
class Sources:
    """Where a run's identity gets the digests of things that are not settings.

    Both raise FileNotFoundError while the thing has not been made.
    """

    artifact: Callable[[str], str]
    data: Callable[[str], str]


def run_identity(settings: Settings, cell: Cell, run: Run, sources: Sources) -> dict[str, Any]:
    """All that decides a run's result: settings, data, model and code. Names of entries do not, so they are absent.

    Surgeries that come to the same are the same: one that changes no layer is no surgery, and a block that ends at the
    highest layer is a progressive one. Such runs are computed once.
    """
    recipe = recipe_of(settings, cell, run)
    data: dict[str, Any] = {"task": sources.data(cell.task)}
    if cell.target is not None:
        data["without"] = sources.data(cell.target)
    return {
        "settings": {
            "task": _task_settings(settings.tasks[cell.task], recipe),
            "recipe": _recipe_settings(recipe),
            "surgery": _operation_settings(settings, cell, run),
            "size": cell.size,
            "seed": run.seed,
            # Equal up to rounding, but not to the bit.
            "engine": _engine_settings(settings, recipe.method),
        },
        "data": data,
        "model": _model_identity(settings, cell, run, sources),
        "code": code_digest(*CODE_OF_METHOD[recipe.method]),
    }


def _operation_settings(settings: Settings, cell: Cell, run: Run) -> dict[str, Any] | None:
    """What is done to which layers, and how."""
    operation = operation_of(settings, cell, run)
    if operation.order:
        return {"order": operation.order}
    if not operation.redrawn:
        return None
    surgery = surgery_of(settings, cell.surgery)
    how = surgery.model_dump(mode="json", include={"init", "biases", "layer_norm", "rate_factor"})
    return {"redrawn": operation.redrawn, **how}


def _model_identity(settings: Settings, cell: Cell, run: Run, sources: Sources) -> dict[str, Any]:
    if cell.intermediate == NONE:
        entry = settings.models[cell.model]
        kept = {"folder": entry.folder, "kind": entry.kind, "layers": entry.layers}
        return {"artifact": sources.artifact(entry.artifact), **kept}
    seed = intermediate_seed(settings.intermediates[cell.intermediate], run.seed)
    before = intermediate_cell(settings, cell.model, cell.intermediate, cell.task, seed)
    return {"run": digest_of(run_identity(settings, before, before.runs[0], sources))}


def intermediate_states(settings: Settings, selected: Plan) -> list[State]:
    """Every state after an intermediate task that the plan needs, each once, in a fixed order."""
    cells = [cell for cell in selected.cells.values() if cell.intermediate != NONE]
    return list(dict.fromkeys(state for cell in cells for state in states_of(settings, cell)))


def states(settings: Settings, selected: Plan, model: str, task: str) -> list[State]:
    """The states of a model on a task that the plan starts runs from, or whose layers it diagnoses."""
    cells = [cell for cell in selected.cells.values() if (cell.model, cell.task) == (model, task)]
    started = [state for cell in cells for state in states_of(settings, cell)]
    diagnosed = [state for state in diagnosed_states(settings) if (state.model, state.task) == (model, task)]
    return list(dict.fromkeys([*started, *diagnosed]))


def all_runs(settings: Settings, selected: Plan) -> Iterator[tuple[Cell, Run]]:
    """Every run of the plan in a fixed order: intermediate trainings first, each cell's trials before its runs."""
    for state in intermediate_states(settings, selected):
        before = cell_before(settings, state)
        yield before, before.runs[0]
    for cell in selected.cells.values():
        for one in (*trials_of(settings, cell), cell):
            for run in one.runs:
                yield one, run

"""Model states: which ones runs start from or are looked into, and the trainings that make them."""

from __future__ import annotations

from dataclasses import replace

from transfer_atlas.layout import Layout
from transfer_atlas.plan.cells import NONE, Bundle, Cell, Plan, Run, State
from transfer_atlas.plan.trainings import searches
from transfer_atlas.settings import PAIR_TYPES, Intermediate, Settings


def intermediate_seed(intermediate: Intermediate, seed: int) -> int:
    """Seed of the intermediate training that a target run with `seed` starts from."""
    return seed if intermediate.seed == "paired" else int(intermediate.seed)


def intermediate_cell(settings: Settings, model: str, intermediate: str, target: str, seed: int) -> Cell:
    """The intermediate training (one run) before target `target`."""
    entry = settings.intermediates[intermediate]
    return Cell(model, NONE, entry.task, entry.recipe, NONE, entry.size, (Run(None, seed),), target)


def cell_of_finetuned(state: State) -> Cell:
    """The cell whose training made a state; without its runs."""
    assert state.recipe is not None and state.size is not None, f"{state} is no state after fine-tuning"
    return Cell(state.model, NONE, state.task, state.recipe, NONE, state.size)


def cell_before(settings: Settings, state: State) -> Cell:
    """The training, of one run, that makes a state."""
    assert state.seed is not None, f"{state} is the pretrained state"
    if state.recipe is not None:
        return replace(cell_of_finetuned(state), runs=(Run(None, state.seed),), kept=(state.seed,))
    return intermediate_cell(settings, state.model, state.intermediate, state.task, state.seed)


def bundle_before(settings: Settings, state: State) -> Bundle:
    """The job of the one training that makes a state."""
    cell = cell_before(settings, state)
    whose = "" if cell.target is None else f".for.{cell.target}"
    return Bundle(f"{cell.name}{whose}.seed{state.seed}", (cell,))


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

"""Model states: which ones runs start from or are looked into, and the trainings that make them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from transfer_atlas.layout import Layout
from transfer_atlas.plan.cells import NONE, Bundle, Cell, Plan, Run, State
from transfer_atlas.plan.trainings import start_seeds, trials_of
from transfer_atlas.settings import PAIR_TYPES, Settings


def intermediate_cell(settings: Settings, model: str, intermediate: str, seed: int) -> Cell:
    """The training of an intermediate entry with a seed: one run, from the entry before it in a chain."""
    entry = settings.intermediates[intermediate]
    before = entry.after or NONE
    run = Run(None, seed, start_seeds(settings, before, seed)[0])
    return Cell(model, before, entry.task, entry.recipe, NONE, entry.size, (run,), trains=intermediate)


def cell_of_finetuned(state: State) -> Cell:
    """The cell whose training made a state; without its runs."""
    assert state.recipe is not None and state.size is not None, f"{state} is no state after fine-tuning"
    return Cell(state.model, NONE, state.task, state.recipe, NONE, state.size)


def cell_before(settings: Settings, state: State) -> Cell:
    """The training, of one run, that makes a state."""
    assert state.seed is not None, f"{state} is the pretrained state"
    if state.recipe is not None:
        return replace(cell_of_finetuned(state), runs=(Run(None, state.seed),), kept=(state.seed,))
    return intermediate_cell(settings, state.model, state.intermediate, state.seed)


def bundle_before(settings: Settings, state: State) -> Bundle:
    """The job of the one training that makes a state."""
    cell = cell_before(settings, state)
    what = "" if cell.trains is None else f".as.{cell.trains}"
    return Bundle(f"{cell.name}{what}.seed{state.seed}", (cell,))


def state_of(cell: Cell, run: Run) -> State:
    """The model state that a run of this cell starts from."""
    return State(cell.model, cell.before or NONE, cell.task, run.start)


def states_of(settings: Settings, *cells: Cell) -> list[State]:
    """The distinct states that the cells' runs and their trials start from."""
    found = {state_of(one, run) for cell in cells for one in (cell, *trials_of(settings, cell)) for run in one.runs}
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
    """Every state after an intermediate task that runs start from or that is scored, each once on its own task.

    A chain's earlier trainings come before its later ones.
    """
    cells = [cell for cell in selected.cells.values() if cell.before is not None]
    asked = [state for cell in cells for state in states_of(settings, cell)]
    for entry in settings.transferability:
        asked += [State(*place) for place in product(entry.models, entry.intermediates, entry.tasks, entry.seeds)]
    found: dict[State, None] = {}
    for state in asked:
        chain = []
        while not state.is_pretrained:
            chain.append(replace(state, task=settings.intermediates[state.intermediate].task))
            cell = cell_before(settings, state)
            state = state_of(cell, cell.runs[0])
        found.update(dict.fromkeys(reversed(chain)))
    return list(found)

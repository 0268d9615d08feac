"""From a configuration to its cells and runs, and to the jobs that do them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from transfer_atlas import surgeries
from transfer_atlas.layout import Layout, layout_of
from transfer_atlas.plan.cells import NONE, Bundle, Cell, Plan, Run, control_of
from transfer_atlas.plan.states import cell_before, cell_of_finetuned, diagnosed_states, intermediate_states
from transfer_atlas.plan.trainings import goes_on_with_head, start_seeds, trials_of
from transfer_atlas.settings import Experiment, Settings


def expand(settings: Settings) -> Plan:
    """Every combination that the experiments list, each cell once with the runs of all that select it.

    Surgery applies to fine-tuning of the pretrained encoder; combinations of surgery with extraction or with an
    intermediate task are not made. Nor are those of train size 0 with anything but fine-tuning that goes on with an
    intermediate task's head, which has one run for each seed of that task.
    """
    runs: dict[Cell, set[Run]] = {}
    for experiment in settings.experiments:
        for model, surgery, recipe in product(experiment.models, experiment.surgeries, experiment.recipes):
            depths = depths_of(settings, experiment, model, surgery, recipe)
            frozen = settings.recipes[recipe].method == "extract"
            for intermediate, size in product(_arms(experiment, frozen), experiment.sizes):
                if surgery != NONE and (frozen or intermediate != NONE):
                    continue
                for task in experiment.tasks:
                    cell = Cell(model, intermediate, task, recipe, surgery, size)
                    if size == 0 and not goes_on_with_head(settings, cell):
                        continue
                    runs.setdefault(cell, set()).update(
                        # Where nothing is trained, only the intermediate training has a seed that counts.
                        Run(depth, start if size == 0 and start is not None else seed, start)
                        for depth in depths
                        for seed in experiment.seeds
                        for start in start_seeds(settings, intermediate, seed)
                    )
    kept: dict[Cell, set[int]] = {}
    for state in diagnosed_states(settings):
        cell = cell_of_finetuned(state)
        assert state.seed is not None
        runs.setdefault(cell, set()).add(Run(None, state.seed))
        kept.setdefault(cell, set()).add(state.seed)
    cells = {}
    for cell in sorted(runs, key=lambda cell: cell.name):
        ordered = tuple(sorted(runs[cell], key=_place_in_cell))
        cells[cell.name] = replace(cell, runs=ordered, kept=tuple(sorted(kept.get(cell, ()))))
    return Plan(cells)


def _place_in_cell(run: Run) -> tuple[int, ...]:
    depth, start = (-1 if value is None else value for value in (run.depth, run.start))
    return depth, run.seed, start


def _arms(experiment: Experiment, frozen: bool) -> list[str]:
    """The intermediate tasks of an experiment, none of them among these, and the controls that it asks for."""
    names = experiment.intermediates
    controlled = [name for name in names if name != NONE] if experiment.equal_budget and not frozen else []
    return [*names, *map(control_of, controlled)]


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


def layout(settings: Settings, cell: Cell) -> Layout:
    """What the heads of a cell read of its model."""
    return layout_of(settings.tasks[cell.task], settings.models[cell.model], settings.recipes[cell.recipe])


def bundle_name(settings: Settings, cell: Cell) -> str:
    """Place of the cell's table below `results/cells`, without ending."""
    laid_out = layout(settings, cell)
    if settings.recipes[cell.recipe].method == "finetune" or laid_out.pooled is None:
        return replace(cell, candidate=None).name
    return f"{cell.model}/{cell.intermediate}/{cell.task}/extract.{laid_out.name}"


def bundles(settings: Settings, selected: Plan) -> dict[str, Bundle]:
    """The cells of a plan by the job that does them, in order of name."""
    cells: dict[str, list[Cell]] = {}
    for cell in selected.cells.values():
        cells.setdefault(bundle_name(settings, cell), []).append(cell)
    return {name: Bundle(name, tuple(cells[name])) for name in sorted(cells)}


def all_runs(settings: Settings, selected: Plan) -> Iterator[tuple[Cell, Run]]:
    """Every run of the plan in a fixed order: intermediate trainings first, each cell's trials before its runs."""
    for state in intermediate_states(settings, selected):
        before = cell_before(settings, state)
        yield before, before.runs[0]
    for cell in selected.cells.values():
        for one in (*trials_of(settings, cell), cell):
            for run in one.runs:
                yield one, run

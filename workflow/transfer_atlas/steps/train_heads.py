"""Train heads on stored representations: all runs of all feature-extraction cells that read the same ones."""

from __future__ import annotations

from collections.abc import Sequence

from transfer_atlas import plan
from transfer_atlas.plan import Cell, Run
from transfer_atlas.representations.features import read_features
from transfer_atlas.training import device, placement
from transfer_atlas.training.cell import Job, one_by_one
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.head_training import HeadRun, stacks, train_heads
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.search import Searched, search_and_run, write_tables


def train(job: Job) -> Searched:
    """Train the bundle's heads that are not in the store, trials too; the results of all."""
    device.prepare_process()
    placement.lease(job.settings.execution.runs_per_gpu)
    settings, cells = job.settings, job.bundle.cells
    states = plan.states_of(settings, *cells)
    features = read_features(settings, cells[0].task, states, plan.layout(settings, cells[0]))

    def head(cell: Cell, run: Run) -> HeadRun:
        data = features[plan.state_of(cell, run)]
        return HeadRun(data, plan.recipe_of(settings, cell, run), cell.size, run.seed)

    def together(runs: Sequence[tuple[Cell, Run]]) -> list[list[int]]:
        if settings.execution.heads == "alone":
            return one_by_one(runs)
        return stacks([head(cell, run) for cell, run in runs])

    def train_stack(runs: Sequence[tuple[Cell, Run]], keeper: Keeper) -> list[Trained]:
        return train_heads([head(cell, run) for cell, run in runs], keeper)

    return search_and_run(job, train_stack, together)


def run(job: Job) -> None:
    """Train the bundle's heads and write its tables."""
    write_tables(job, train(job))

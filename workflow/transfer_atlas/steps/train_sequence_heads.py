"""Train heads that read the states of all tokens or words: all runs of one feature-extraction cell."""

from __future__ import annotations

from collections.abc import Sequence

from transfer_atlas import plan
from transfer_atlas.plan import Cell, Run
from transfer_atlas.representations.features import read_states
from transfer_atlas.training import device, placement
from transfer_atlas.training.cell import Job
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.search import Searched, search_and_run, write_tables
from transfer_atlas.training.sequence_heads import train_sequence_head


def train(job: Job) -> Searched:
    """Train the cell's heads that are not in the store, trials too; the results of all."""
    device.prepare_process()
    placement.lease(job.settings.execution.runs_per_gpu)
    settings, cell = job.settings, job.cell
    states = read_states(settings, cell.task, plan.states_of(settings, cell), plan.layout(settings, cell))

    def train_one(runs: Sequence[tuple[Cell, Run]], keeper: Keeper) -> list[Trained]:
        ((one, run),) = runs
        data = states[plan.state_of(one, run)]
        return [train_sequence_head(data, plan.recipe_of(settings, one, run), one.size, run.seed, keeper)]

    return search_and_run(job, train_one)


def run(job: Job) -> None:
    """Train the cell's heads and write its tables."""
    write_tables(job, train(job))

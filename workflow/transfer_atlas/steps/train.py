"""Fine-tune all runs of one cell: with or without surgery, from the pretrained encoder or an intermediate state."""

from __future__ import annotations

from collections.abc import Sequence

from transfer_atlas import atomic, plan
from transfer_atlas.errors import UserError
from transfer_atlas.identity import digest_of
from transfer_atlas.plan import Cell, Run, State
from transfer_atlas.tasks.same_classes import check_kept_head
from transfer_atlas.training import device, placement
from transfer_atlas.training.cell import Job
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.finetuning import finetune
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.search import Searched, search_and_run, write_tables
from transfer_atlas.training.starts import starts_of


def train(job: Job) -> Searched:
    """Train the cell's trials and runs that are not in the store; the results of all."""
    device.prepare_process()
    placement.lease(job.settings.execution.runs_per_gpu)
    settings, cell = job.settings, job.cell
    if plan.goes_on_with_head(settings, cell):
        check_kept_head(settings, cell)
    starts = starts_of(settings, cell)
    # A control spends the updates of an intermediate training on its own task.
    more_updates = 0
    if cell.budget_of is not None:
        more_updates = plan.updates_of(settings, cell.budget_of, job.sources.decontaminated)

    def train_one(runs: Sequence[tuple[Cell, Run]], keeper: Keeper) -> list[Trained]:
        ((one, run),) = runs
        state = plan.state_of(cell, run)
        if not state.is_pretrained:
            _check_start(job, state)
        trained = finetune(
            starts,
            recipe=plan.recipe_of(settings, one),
            surgery=plan.surgery_of(settings, cell.surgery),
            operation=plan.operation_of(settings, cell, run),
            size=cell.size,
            seed=run.seed,
            start=None if state.is_pretrained else plan.weights_file(state),
            keep_head=plan.goes_on_with_head(settings, cell),
            more_updates=more_updates,
            keep_weights=plan.keeps_weights(cell, run),
            observer=keeper,
        )
        return [trained]

    return search_and_run(job, train_one)


def _check_start(job: Job, state: State) -> None:
    """Stop where a start's weights are others than those that the run's identity names."""
    before = plan.cell_before(job.settings, state)
    wanted = digest_of(plan.run_identity(job.settings, before, before.runs[0], job.sources))
    if atomic.read_json(plan.training_file(state))["digest"] != wanted:
        raise UserError(
            f"{plan.weights_file(state)}: is not what settings, data and code now ask for; delete it and run again"
        )


def run(job: Job) -> None:
    """Train the cell's runs and write its tables."""
    write_tables(job, train(job))

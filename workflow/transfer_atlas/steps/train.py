"""Fine-tune all runs of one cell: with or without surgery, from the pretrained encoder or an intermediate state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transfer_atlas import plan
from transfer_atlas.models.encoder import load_pretrained
from transfer_atlas.plan import Cell, Run
from transfer_atlas.training import device, placement
from transfer_atlas.training.cell import Job, run_all
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.finetuning import Starts, TaskData, finetune
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.results import write_table


def train(job: Job) -> list[dict[str, Any]]:
    """Train the cell's runs that are not in the store; the results of all."""
    device.prepare_process()
    placement.lease(job.settings.execution.runs_per_gpu)
    settings, cell = job.settings, job.cell
    model, task = settings.models[cell.model], settings.tasks[cell.task]
    pretrained = load_pretrained(plan.model_folder(settings, cell.model), model.layers, task.max_length)
    starts = Starts(pretrained, TaskData.of_cell(settings, cell, pretrained), settings.engine)

    def train_one(runs: Sequence[tuple[Cell, Run]], keeper: Keeper) -> list[Trained]:
        ((_, run),) = runs
        start = None
        if cell.intermediate != plan.NONE:
            start = plan.weights_file(plan.state_of(settings, cell, run.seed))
        trained = finetune(
            starts,
            recipe=settings.recipes[cell.recipe],
            entry=plan.surgery_of(settings, cell.surgery),
            size=cell.size,
            run=run,
            start=start,
            keep_weights=cell.target is not None,
            observer=keeper,
        )
        return [trained]

    return run_all(job, train_one)


def run(job: Job) -> None:
    """Train the cell's runs and write its table."""
    write_table(job.settings, job.bundle, train(job), job.store)

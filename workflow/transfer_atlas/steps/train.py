"""Fine-tune all runs of one cell: with or without surgery, from the pretrained encoder or an intermediate state."""

from __future__ import annotations

from typing import Any

from transfer_atlas import plan
from transfer_atlas.models.encoder import load_pretrained
from transfer_atlas.plan import Run
from transfer_atlas.tasks.description import number_of_classes
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training import device
from transfer_atlas.training.cell import Job, run_all
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.finetuning import TaskData, finetune, leave_out
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.results import write_cell


def train(job: Job) -> list[dict[str, Any]]:
    """Train the cell's runs that are not in the store; the results of all."""
    device.prepare_process()
    settings, cell = job.settings, job.cell
    model, task = settings.models[cell.model], settings.tasks[cell.task]
    pretrained = load_pretrained(plan.model_folder(settings, cell.model), model.layers, task.max_length)
    splits = {split: read_split(plan.task_folder(cell.task), split) for split in plan.SPLITS}
    left_out = 0
    if cell.target is not None:
        target = plan.task_folder(cell.target)
        evaluation = [read_split(target, split) for split in ("validation", "test")]
        splits["train"], left_out = leave_out(splits["train"], *evaluation)
        print(f"{left_out} training rows of {cell.task} hold an evaluation text of {cell.target} and are left out")
    classes = number_of_classes(plan.task_folder(cell.task))
    data = TaskData.of(task, classes, splits, pretrained, left_out)

    def train_one(run: Run, keeper: Keeper) -> Trained:
        start = None
        if cell.intermediate != plan.NONE:
            start = plan.weights_file(plan.state_of(settings, cell, run.seed))
        return finetune(
            pretrained,
            data,
            recipe=settings.recipes[cell.recipe],
            entry=plan.surgery_of(settings, cell.surgery),
            size=cell.size,
            run=run,
            start=start,
            keep_weights=cell.target is not None,
            observer=keeper,
        )

    return run_all(job, train_one)


def run(job: Job) -> None:
    """Train the cell's runs and write its table."""
    write_cell(plan.cell_file(job.cell.name), job.settings, job.cell, train(job), job.store)

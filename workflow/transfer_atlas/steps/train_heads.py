"""Train heads on stored representations: all runs of one feature-extraction cell."""

from __future__ import annotations

from typing import Any

from transfer_atlas import plan
from transfer_atlas.plan import Run, State
from transfer_atlas.representations import storage
from transfer_atlas.tasks.description import number_of_classes
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training import device
from transfer_atlas.training.cell import Job, run_all
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.head_training import FeatureData, train_head
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.results import write_cell


def train(job: Job) -> list[dict[str, Any]]:
    """Train the cell's heads that are not in the store; the results of all."""
    device.prepare_process()
    settings, cell = job.settings, job.cell
    recipe, task = settings.recipes[cell.recipe], settings.tasks[cell.task]
    splits = {split: read_split(plan.task_folder(cell.task), split) for split in plan.SPLITS}
    classes = number_of_classes(plan.task_folder(cell.task))
    loaded: dict[State, FeatureData] = {}

    def features(state: State) -> FeatureData:
        if state not in loaded:
            folder = plan.representation_folder(state, recipe.pooling)
            read = {split: storage.read_split(folder, split) for split in plan.SPLITS}
            loaded[state] = FeatureData(
                task,
                classes,
                splits,
                {split: states for split, (states, _) in read.items()},
                {split: lengths for split, (_, lengths) in read.items()},
                storage.read_manifest(folder)["truncated"]["train"],
            )
        return loaded[state]

    def train_one(run: Run, keeper: Keeper) -> Trained:
        data = features(plan.state_of(settings, cell, run.seed))
        return train_head(data, recipe=recipe, size=cell.size, run=run, observer=keeper)

    return run_all(job, train_one)


def run(job: Job) -> None:
    """Train the cell's heads and write its table."""
    write_cell(plan.cell_file(job.cell.name), job.settings, job.cell, train(job), job.store)

"""Stored representations as what heads are trained on."""

from __future__ import annotations

from collections.abc import Iterable

from transfer_atlas import plan
from transfer_atlas.plan import State
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.tasks.description import number_of_classes
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training.head_training import FeatureData


def read_features(settings: Settings, task: str, states: Iterable[State], pooling: str) -> dict[State, FeatureData]:
    """A task with the representations of each of these states; they are memory-mapped, the examples shared.

    Raises:
        UserError: A split of the task is missing or damaged.
    """
    folder = plan.task_folder(task)
    splits = {split: read_split(folder, split) for split in plan.SPLITS}
    classes = number_of_classes(folder)
    found = {}
    for state in states:
        stored = plan.representation_folder(state, pooling)
        read = {split: storage.read_split(stored, split) for split in plan.SPLITS}
        found[state] = FeatureData(
            settings.tasks[task],
            classes,
            splits,
            {split: pooled for split, (pooled, _) in read.items()},
            {split: lengths for split, (_, lengths) in read.items()},
            storage.read_manifest(stored)["truncated"]["train"],
        )
    return found

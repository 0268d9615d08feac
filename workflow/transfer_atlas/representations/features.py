"""Stored representations as what heads are trained on."""

from __future__ import annotations

from collections.abc import Iterable

from transfer_atlas import plan
from transfer_atlas.layout import Layout
from transfer_atlas.plan import State
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.tasks.description import class_names
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training.head_training import FeatureData
from transfer_atlas.training.sequence_heads import StateData, StoredUnits


def read_features(settings: Settings, task: str, states: Iterable[State], layout: Layout) -> dict[State, FeatureData]:
    """A task with the pooled representations of each of these states; they are memory-mapped, the examples shared.

    Raises:
        UserError: A split of the task is missing or damaged.
    """
    folder = plan.task_folder(task)
    splits = {split: read_split(folder, split) for split in plan.SPLITS}
    names = class_names(folder)
    found = {}
    for state in states:
        stored = plan.representation_folder(state, layout.name)
        read = {split: storage.read_split(stored, split) for split in plan.SPLITS}
        found[state] = FeatureData(
            settings.tasks[task],
            len(names or []),
            splits,
            {split: one.states for split, one in read.items()},
            {split: one.lengths for split, one in read.items()},
            storage.read_manifest(stored)["truncated"],
        )
    return found


def read_states(settings: Settings, task: str, states: Iterable[State], layout: Layout) -> dict[State, StateData]:
    """A task with the states of all units of each of these model states; they are memory-mapped, the examples shared.

    Raises:
        UserError: A split of the task is missing or damaged.
    """
    folder = plan.task_folder(task)
    splits = {split: read_split(folder, split) for split in plan.SPLITS}
    names = class_names(folder)
    found = {}
    for state in states:
        stored = plan.representation_folder(state, layout.name)
        units = {}
        for split, examples in splits.items():
            one = storage.read_split(stored, split)
            units[split] = StoredUnits.of(examples, layout, one.states, one.units, one.lengths)
        truncated = storage.read_manifest(stored)["truncated"]
        found[state] = StateData(settings.tasks[task], names, layout, splits, units, truncated)
    return found

"""Stored representations as what heads are trained on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transfer_atlas import plan
from transfer_atlas.layout import Layout
from transfer_atlas.plan import State
from transfer_atlas.representations import storage
from transfer_atlas.representations.storage import Stored
from transfer_atlas.settings import Settings, Task
from transfer_atlas.tasks.description import class_names
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training.head_training import FeatureData
from transfer_atlas.training.sequence_heads import StateData, StoredUnits


@dataclass(frozen=True)
class _Read:
    """What all states of a task have in common, read once."""

    task: Task
    names: list[str] | None
    splits: dict[str, Examples]

    @staticmethod
    def of(settings: Settings, task: str) -> _Read:
        folder = plan.task_folder(task)
        splits = {split: read_split(folder, split) for split in plan.SPLITS}
        return _Read(settings.tasks[task], class_names(folder), splits)


def _stored(state: State, layout: Layout) -> tuple[dict[str, Stored], dict[str, int]]:
    """The representations of a state by split, memory-mapped, and how many texts of each were truncated."""
    folder = plan.representation_folder(state, layout.name)
    return {split: storage.read_split(folder, split) for split in plan.SPLITS}, storage.read_manifest(folder)[
        "truncated"
    ]


def read_features(settings: Settings, task: str, states: Iterable[State], layout: Layout) -> dict[State, FeatureData]:
    """A task with the pooled representations of each of these states; they are memory-mapped, the examples shared.

    Raises:
        UserError: A split of the task is missing or damaged.
    """
    read = _Read.of(settings, task)
    found = {}
    for state in states:
        stored, truncated = _stored(state, layout)
        found[state] = FeatureData(
            read.task,
            len(read.names or []),
            read.splits,
            {split: one.states for split, one in stored.items()},
            {split: one.lengths for split, one in stored.items()},
            truncated,
        )
    return found


def read_states(settings: Settings, task: str, states: Iterable[State], layout: Layout) -> dict[State, StateData]:
    """A task with the states of all units of each of these model states; they are memory-mapped, the examples shared.

    Raises:
        UserError: A split of the task is missing or damaged.
    """
    read = _Read.of(settings, task)
    found = {}
    for state in states:
        stored, truncated = _stored(state, layout)
        units = {
            split: StoredUnits.of(read.splits[split], layout, one.states, one.units, one.lengths)
            for split, one in stored.items()
        }
        found[state] = StateData(read.task, read.names, layout, read.splits, units, truncated)
    return found

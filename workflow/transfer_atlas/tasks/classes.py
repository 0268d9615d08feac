"""The classes of a task: those that the configuration names, or those that its rows have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transfer_atlas.errors import UserError
from transfer_atlas.settings import Task
from transfer_atlas.tasks.sources import listed
from transfer_atlas.tasks.tags import is_tag, tag_names, types_of

MOST_CLASSES = 1000


@dataclass(frozen=True)
class Classes:
    """The classes of a task and the values that stand for them in its files."""

    names: list[str]
    index: dict[str, int]
    """Class of each value; several values may stand for one class."""

    def name_of(self, value: str) -> str:
        """The class that a value stands for."""
        return self.names[self.index[value]]

    @staticmethod
    def called(names: Sequence[str]) -> Classes:
        """Classes that the values name themselves."""
        return Classes(list(names), {name: index for index, name in enumerate(names)})


def configured(name: str, task: Task) -> Classes | None:
    """The classes that `labels` lists; of a task whose labels mark spans, the tags of its files.

    Raises:
        UserError: for one class, a class that is listed twice, and what should be a tag and is none.
    """
    if task.labels is None:
        return None
    by_value = task.labels if isinstance(task.labels, dict) else {label: label for label in task.labels}
    if len(by_value) < len(task.labels):
        raise UserError(f"tasks.{name}.labels: a label is listed twice; list each once")
    names = list(dict.fromkeys(by_value.values()))
    if len(names) < 2:
        raise UserError(f"tasks.{name}.labels: {listed(names)} is one class; classification needs at least two")
    wrong = [label for label in names if not is_tag(label)] if task.tags != "words" else []
    if wrong:
        raise UserError(f"tasks.{name}.labels: {wrong[0]!r} is no tag; tags are O, or B-, I-, E- or S- and a type")
    return Classes(names, {value.strip(): names.index(label) for value, label in by_value.items()})


def of_training(name: str, values: Iterable[str]) -> Classes:
    """The classes that the training rows have, sorted.

    Raises:
        UserError: for one class, or more than a classification has.
    """
    names = sorted(set(values))
    if len(names) > MOST_CLASSES:
        raise UserError(
            f"tasks.{name}.fields.label: the training rows have {len(names)} different labels, more than "
            f"{MOST_CLASSES}, such as {listed(names, 3)}; is this the right column? If so, list them in labels"
        )
    if len(names) < 2:
        raise UserError(
            f"tasks.{name}.fields.label: the training rows have one label only, {listed(names)}; "
            "classification needs at least two"
        )
    return Classes.called(names)


def of_all(training: Classes, values: Iterable[str]) -> Classes:
    """The training rows' classes, then those that only other splits have, sorted.

    Annotated sentences may well have rare labels in the test split only: each counts as an error of every model, which
    is what it is, and the study goes on.
    """
    return Classes.called([*training.names, *sorted(set(values) - set(training.names))])


def of_spans(training: Iterable[str], values: Iterable[str], scheme: str) -> Classes:
    """All tags of a scheme for the types of spans in the training rows, then for those that only other splits have."""
    first = sorted(types_of(training))
    return Classes.called(tag_names([*first, *sorted(set(types_of(values)) - set(first))], scheme))

"""From rows of files to canonical examples: fields, labels, filters, and the rows that are no good."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transfer_atlas.errors import UserError
from transfer_atlas.settings import PAIR_TYPES, Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.readers import Layout, Source, find_sources, listed, nearest, read_rows, undecodable
from transfer_atlas.tasks.rows import BadRow, RawRow, Reason, shown
from transfer_atlas.tasks.storage import SPLITS

MOST_CLASSES = 1000
PRINTED_BAD_ROWS = 20


@dataclass(frozen=True)
class Canonical:
    """A task as its files give it, before splits are carved or limited."""

    splits: dict[str, Examples]
    """The splits that have files."""
    labels: list[str] | None
    """Names of the classes in order; None for regression."""
    bad_rows: list[BadRow]
    """Rows that were dropped; empty where bad rows stop the run."""

    @property
    def dropped(self) -> dict[str, int]:
        """Number of dropped rows by reason."""
        return dict(sorted(Counter(row.reason for row in self.bad_rows).items()))


class Unusable(Exception):
    """A value that no example can hold."""

    def __init__(self, column: str, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.column = column
        self.reason = reason
        self.detail = detail


def read_task(name: str, task: Task, source: Path) -> Canonical:
    """Read all files of a task.

    Args:
        name: the task's entry in `tasks`, for messages.
        task: its settings.
        source: folder that `task.files` are relative to.

    Raises:
        UserError: for settings that contradict each other, files or columns that are missing, labels that make no
            classification, a split without rows, and, where `bad_rows` is `stop`, any bad row.
    """
    _check(name, task)
    known = _known_labels(name, task)
    splits: dict[str, _Columns] = {}
    bad_rows: list[BadRow] = []
    # Train comes first: where the configuration names no labels, its rows define them.
    for split in SPLITS:
        if split not in task.files:
            continue
        sources = find_sources(task.files[split], source, f"tasks.{name}.files.{split}")
        splits[split] = _read_split(name, task, split, sources, known)
        bad_rows.extend(splits[split].bad_rows)
        if task.type != "pair_regression" and known is None:
            try:
                known = _inferred_labels(name, splits["train"])
            except UserError:
                # Where there are bad rows, they are the likelier mistake, and named below.
                if bad_rows and task.bad_rows == "stop":
                    break
                raise
    if bad_rows and task.bad_rows == "stop":
        raise UserError(_complaint(name, bad_rows))
    return Canonical(
        splits={split: columns.examples(known) for split, columns in splits.items()},
        labels=None if known is None else known.names,
        bad_rows=bad_rows,
    )


def bad_row_lines(bad_rows: list[BadRow]) -> list[str]:
    """What to print about dropped rows: the first ones in full, then how many more."""
    lines = [f"dropped: {row}" for row in bad_rows[:PRINTED_BAD_ROWS]]
    if len(bad_rows) > PRINTED_BAD_ROWS:
        lines.append(f"dropped: {len(bad_rows) - PRINTED_BAD_ROWS} more rows")
    return lines


def _complaint(name: str, bad_rows: list[BadRow]) -> str:
    n_more = len(bad_rows) - 1
    more = f", and {n_more} more bad row{'s' if n_more > 1 else ''}" if n_more else ""
    return f"{bad_rows[0]}{more}; mend the file, or set tasks.{name}.bad_rows to drop to leave bad rows out"


def _check(name: str, task: Task) -> None:
    if "train" not in task.files:
        raise UserError(f"tasks.{name}.files: train is required; it names {listed(sorted(task.files))}")
    is_pair = task.type in PAIR_TYPES
    if is_pair and task.fields.text_pair is None:
        raise UserError(f"tasks.{name}.fields.text_pair is required by type {task.type}: name the second text's column")
    if not is_pair and task.fields.text_pair is not None:
        raise UserError(f"tasks.{name}.fields.text_pair goes with {' and '.join(PAIR_TYPES)} only, not {task.type}")
    if task.type != "pair_regression":
        return
    if task.score_range is None:
        raise UserError(f"tasks.{name}.score_range is required by type pair_regression, for example [0, 5]")
    low, high = task.score_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"tasks.{name}.score_range: {low} to {high} is no range; give the smallest and largest score")
    if task.labels is not None:
        raise UserError(f"tasks.{name}.labels goes with classification only, not {task.type}; leave it out")


# --- labels --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Labels:
    """The classes of a task and the values that stand for them in its files."""

    names: list[str]
    index: dict[str, int]
    """Class of each value; several values may stand for one class."""


def _known_labels(name: str, task: Task) -> _Labels | None:
    if task.labels is None:
        return None
    by_value = task.labels if isinstance(task.labels, dict) else {label: label for label in task.labels}
    if len(by_value) < len(task.labels):
        raise UserError(f"tasks.{name}.labels: a label is listed twice; list each once")
    names = list(dict.fromkeys(by_value.values()))
    if len(names) < 2:
        raise UserError(f"tasks.{name}.labels: {listed(names)} is one class; classification needs at least two")
    return _Labels(names, {value.strip(): names.index(label) for value, label in by_value.items()})


def _inferred_labels(name: str, train: _Columns) -> _Labels:
    names = sorted(set(train.labels))
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
    return _Labels(names, {label: index for index, label in enumerate(names)})


# --- rows ----------------------------------------------------------------------------------------------------


@dataclass
class _Columns:
    """A split while it is read."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    pairs: list[str] | None = None
    labels: list[Any] = field(default_factory=list)
    """Values of the label column, as text, or scores."""
    bad_rows: list[BadRow] = field(default_factory=list)

    def examples(self, known: _Labels | None) -> Examples:
        if known is None:
            labels = np.array(self.labels, dtype=np.float64)
        else:
            labels = np.array([known.index[label] for label in self.labels], dtype=np.int64)
        return Examples(self.ids, self.texts, self.pairs, labels)


def _read_split(name: str, task: Task, split: str, sources: list[Source], known: _Labels | None) -> _Columns:
    layout = _layout(name, task)
    columns = _Columns(pairs=[] if task.type in PAIR_TYPES else None)
    other_values: dict[str, Counter[str]] = {column: Counter() for column in task.where}
    n_rows = 0
    for source in sources:
        for row in read_rows(source, layout):
            n_rows += 1
            if isinstance(row, BadRow):
                columns.bad_rows.append(row)
                continue
            unwanted = _filtered_by(row, task.where)
            if unwanted is not None:
                other_values[unwanted][as_text(row.values[unwanted])] += 1
                continue
            try:
                _add(columns, row, task, known, layout)
            except Unusable as problem:
                columns.bad_rows.append(BadRow(row.file, row.number, problem.column, problem.reason, problem.detail))
                continue
            columns.ids.append(f"{split}-{source.short_name}{row.file.removeprefix(source.name)}:{row.number}")
    if not columns.ids:
        files = ", ".join(source.name for source in sources)
        raise UserError(_why_empty(name, task, split, files, n_rows, columns.bad_rows, other_values))
    return columns


def _why_empty(
    name: str,
    task: Task,
    split: str,
    files: str,
    n_rows: int,
    bad_rows: list[BadRow],
    other_values: Mapping[str, Counter[str]],
) -> str:
    if bad_rows:
        return f"{bad_rows[0]}, and no row of {files} is good ({n_rows} rows); mend tasks.{name} or the file"
    for column, values in other_values.items():
        if values:
            wanted = as_text(task.where[column])
            hint = nearest(wanted, values)
            return (
                f"tasks.{name}.where: no row of {files} has {column} {wanted!r}; it has {listed(sorted(values))}{hint}"
            )
    return f"tasks.{name}.files.{split}: {files} has no rows; name a file that has some"


def _layout(name: str, task: Task) -> Layout:
    needed = {task.fields.text: "fields.text", task.fields.label: "fields.label"}
    if task.fields.text_pair is not None:
        needed[task.fields.text_pair] = "fields.text_pair"
    for column in task.where:
        needed.setdefault(column, "where")
    return Layout(
        task=name,
        format=task.format,
        quoting=task.quoting,
        header=task.header,
        columns=task.columns,
        extra_columns=task.extra_columns,
        encoding=task.encoding,
        needed=needed,
    )


def _filtered_by(row: RawRow, where: Mapping[str, str | int | float | bool]) -> str | None:
    """The first column whose value is not the one wanted."""
    return next((column for column, wanted in where.items() if not equals(row.values[column], wanted)), None)


def equals(value: Any, wanted: str | int | float | bool) -> bool:
    """Whether a cell holds the value that `where` asks for: 1 equals "1" and "1.0", true equals "True" and "true"."""
    if as_text(value) == as_text(wanted):
        return True
    if isinstance(wanted, bool):
        return as_text(value).casefold() == as_text(wanted).casefold()
    if isinstance(wanted, (int, float)) and not isinstance(value, bool):
        return _number(value) == wanted
    return False


def as_text(value: Any) -> str:
    """A cell as text: booleans as `True` and `False`, numbers as Python writes them, nothing as the empty text."""
    return "" if value is None else str(value).strip()


def _number(value: Any) -> float:
    """A cell as a number; NaN where it is none."""
    if isinstance(value, str) and "_" not in value:
        try:
            return float(value)
        except ValueError:
            return math.nan
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def _add(columns: _Columns, row: RawRow, task: Task, known: _Labels | None, layout: Layout) -> None:
    fields = task.fields
    text = _text(row, fields.text, layout)
    pair = None if fields.text_pair is None else _text(row, fields.text_pair, layout)
    label: str | float
    if task.type == "pair_regression":
        assert task.score_range is not None
        label = _score(row, fields.label, task.score_range)
    else:
        label = _class_value(row, fields.label, known, layout)
    columns.texts.append(text)
    columns.labels.append(label)
    if columns.pairs is not None:
        assert pair is not None
        columns.pairs.append(pair)


def _text(row: RawRow, column: str, layout: Layout) -> str:
    value = row.values[column]
    if value is None:
        raise Unusable(column, "empty text", "None")
    if not isinstance(value, str):
        raise Unusable(column, "wrong type", f"{shown(value)} where a text is expected")
    _require_characters(value, column, layout)
    if not value.strip():
        raise Unusable(column, "empty text", shown(value))
    return value


def _require_characters(value: str, column: str, layout: Layout) -> None:
    problem = undecodable(value)
    if problem:
        raise Unusable(column, "not decodable", f"{problem} is not {layout.encoding}")


def _class_value(row: RawRow, column: str, known: _Labels | None, layout: Layout) -> str:
    value = row.values[column]
    if isinstance(value, float) and math.isnan(value):
        raise Unusable(column, "missing label", "nan")
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise Unusable(column, "wrong type", f"{shown(value)} where a label is expected")
    label = as_text(value)
    if not label:
        raise Unusable(column, "missing label", shown(value))
    _require_characters(label, column, layout)
    if known is not None and label not in known.index:
        raise Unusable(column, "unknown label", f"{shown(label)}; known are {listed(list(known.index), 6)}")
    return label


def _score(row: RawRow, column: str, score_range: list[float]) -> float:
    value = row.values[column]
    if as_text(value) == "":
        raise Unusable(column, "missing label", shown(value))
    score = _number(value)
    if not math.isfinite(score):
        raise Unusable(column, "score is not a finite number", shown(value))
    low, high = score_range
    if not low <= score <= high:
        raise Unusable(column, "score out of range", f"{shown(value)} is not in {low:g} to {high:g}")
    return score

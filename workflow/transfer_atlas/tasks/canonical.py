"""From rows of files to canonical examples: fields, labels, filters, and the rows that are no good."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from transfer_atlas.errors import UserError
from transfer_atlas.settings import PAIR_TYPES, WORD_TYPES, Task
from transfer_atlas.tasks import classes
from transfer_atlas.tasks.cells import Unusable, as_text, class_of, equals, group_of, score_of, text_of
from transfer_atlas.tasks.classes import Classes
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.readers import read_rows
from transfer_atlas.tasks.rows import ARC_SPANS, BadRow, RawRow, shown
from transfer_atlas.tasks.sources import Content, Layout, Source, find_sources, listed, nearest
from transfer_atlas.tasks.storage import SPLITS
from transfer_atlas.tasks.tags import WRITERS, is_tag, spans_of, starting_inside, tag_names, types_of
from transfer_atlas.tasks.words import Words, spans_of_row, word_labels, words_of

PRINTED_BAD_ROWS = 20
# How words and tags were brought into canonical form, as stats.json calls it.
STARTS_WITH_I = "starts_with_I"
MENDED_WORDS = "words_with_white_space"


@dataclass(frozen=True)
class Canonical:
    """A task as its files give it, before splits are carved or limited."""

    splits: dict[str, Examples]
    """The splits that have files."""
    labels: list[str] | None
    """Names of the classes in order; None for regression."""
    bad_rows: list[BadRow]
    """Rows that were dropped; empty where bad rows stop the run."""
    skipped: dict[str, Counter[str]]
    """For each file split, what was passed over: comments, multiword tokens, roots."""
    mended: dict[str, Counter[str]]
    """For each file split, spans that begin with `I-` or `E-`, and words that held white space."""

    @property
    def dropped(self) -> dict[str, int]:
        """Number of dropped rows by reason."""
        return dict(sorted(Counter(row.reason for row in self.bad_rows).items()))


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
    known = classes.configured(name, task)
    splits: dict[str, _Columns] = {}
    bad_rows: list[BadRow] = []
    # Train comes first: where the configuration names no labels, its rows define them.
    for split in SPLITS:
        if split not in task.files:
            continue
        sources = find_sources(task.files[split], source, f"tasks.{name}.files.{split}")
        columns = splits[split] = _read_split(name, task, split, sources, known)
        bad_rows.extend(columns.bad_rows)
        if split == "train" and task.type != "pair_regression" and known is None:
            try:
                training = classes.of_training(name, columns.values)
            except UserError:
                # Where there are bad rows, they are the likelier mistake, and named below.
                if bad_rows and task.bad_rows == "stop":
                    break
                raise
            if task.type not in WORD_TYPES:
                known = training
    if bad_rows and task.bad_rows == "stop":
        raise UserError(_complaint(name, bad_rows))
    found = _classes(task, known, splits)
    return Canonical(
        splits={split: columns.examples(found) for split, columns in splits.items()},
        labels=None if found is None else found.names,
        bad_rows=bad_rows,
        skipped={split: columns.skipped for split, columns in splits.items()},
        mended={split: columns.mended for split, columns in splits.items()},
    )


def _classes(task: Task, known: Classes | None, splits: Mapping[str, _Columns]) -> Classes | None:
    if task.type == "pair_regression":
        return None
    if known is not None:
        return known if task.tags == "words" else Classes.called(tag_names(types_of(known.names), task.tags))
    values = {value for columns in splits.values() for value in columns.values}
    if task.tags == "words":
        return classes.of_all(Classes.called(sorted(set(splits["train"].values))), values)
    return classes.of_spans(splits["train"].values, values, task.tags)


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
    if task.type != "span_pair_classification" and task.fields.span is not None:
        raise UserError(f"tasks.{name}.fields.span goes with span_pair_classification only, not {task.type}")
    if task.fields.span is None and task.fields.span_pair is not None:
        raise UserError(f"tasks.{name}.fields.span_pair needs fields.span: name the column of the first span")
    if task.type != "token_labelling" and task.tags != "words":
        raise UserError(f"tasks.{name}.tags goes with token_labelling only, not {task.type}; leave it out")
    if task.type != "pair_regression":
        return
    if task.score_range is None:
        raise UserError(f"tasks.{name}.score_range is required by type pair_regression, for example [0, 5]")
    low, high = task.score_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"tasks.{name}.score_range: {low} to {high} is no range; give the smallest and largest score")
    if task.labels is not None:
        raise UserError(f"tasks.{name}.labels goes with classification only, not {task.type}; leave it out")


# --- rows ----------------------------------------------------------------------------------------------------


@dataclass
class _Columns:
    """A split while it is read."""

    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    pairs: list[str] | None = None
    words: list[list[str]] | None = None
    spans: list[list[tuple[int, int]]] | None = None
    groups: list[str] | None = None
    labels: list[Any] = field(default_factory=list)
    """Values of the label column, as text, or scores; of the words of a row a list."""
    bad_rows: list[BadRow] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    last_words: Words | None = None

    @staticmethod
    def of(task: Task) -> _Columns:
        """No rows yet of a task."""
        return _Columns(
            pairs=[] if task.type in PAIR_TYPES else None,
            words=[] if task.type in WORD_TYPES else None,
            spans=[] if task.type == "span_pair_classification" else None,
            groups=[] if task.fields.group is not None else None,
        )

    @property
    def values(self) -> Iterator[str]:
        """Every value that stands for a class."""
        for label in self.labels:
            if isinstance(label, list):
                yield from label
            else:
                yield label

    def examples(self, found: Classes | None) -> Examples:
        """The rows in canonical form."""
        if found is None:
            labels = np.array(self.labels, dtype=np.float64)
        else:
            labels = np.array([found.index[value] for value in self.values], dtype=np.int64)
        spans = None if self.spans is None else np.array(self.spans, dtype=np.int64).reshape(-1, 2, 2)
        return Examples(self.ids, self.texts, self.pairs, labels, self.words, spans, self.groups)


def _read_split(name: str, task: Task, split: str, sources: list[Source], known: Classes | None) -> _Columns:
    layout = _layout(name, task)
    columns = _Columns.of(task)
    other_values: dict[str, Counter[str]] = {column: Counter() for column in task.where}
    n_rows = 0
    for source in sources:
        for row in read_rows(source, layout, columns.skipped):
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
                line = row.line_of(problem.word)
                columns.bad_rows.append(BadRow(row.file, line, problem.column, problem.reason, problem.detail))
                continue
            columns.ids.append(
                f"{split}-{source.short_name}{row.file.removeprefix(source.name)}:{row.number}{row.part}"
            )
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
    fields = task.fields
    needed = {fields.text: "fields.text", fields.label: "fields.label"}
    optional = {
        "text_pair": fields.text_pair,
        "span": fields.span,
        "span_pair": fields.span_pair,
        "group": fields.group,
    }
    needed |= {column: f"fields.{key}" for key, column in optional.items() if column is not None}
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
        content=_content(task),
        text=fields.text,
        label=fields.label,
        needed=needed,
    )


def _content(task: Task) -> Content:
    if task.type not in WORD_TYPES:
        return "texts"
    if task.type == "token_labelling":
        return "words"
    return "arcs" if task.fields.span is None else "spans"


def _filtered_by(row: RawRow, where: Mapping[str, str | int | float | bool]) -> str | None:
    """The first column whose value is not the one wanted."""
    return next((column for column, wanted in where.items() if not equals(row.values[column], wanted)), None)


def _add(columns: _Columns, row: RawRow, task: Task, known: Classes | None, layout: Layout) -> None:
    """Add a row to the columns, all of it or nothing."""
    fields = task.fields
    group = None if fields.group is None else group_of(row, fields.group, layout)
    if columns.words is None:
        _add_texts(columns, row, task, known, layout)
    else:
        _add_words(columns, row, task, known, layout)
    if columns.groups is not None:
        assert group is not None
        columns.groups.append(group)


def _add_texts(columns: _Columns, row: RawRow, task: Task, known: Classes | None, layout: Layout) -> None:
    fields = task.fields
    text = text_of(row, fields.text, layout)
    pair = None if fields.text_pair is None else text_of(row, fields.text_pair, layout)
    label: str | float
    if task.type == "pair_regression":
        assert task.score_range is not None
        label = score_of(row, fields.label, task.score_range)
    else:
        label = _class_value(row, task, known, layout)
    columns.texts.append(text)
    columns.labels.append(label)
    if columns.pairs is not None:
        assert pair is not None
        columns.pairs.append(pair)


def _class_value(row: RawRow, task: Task, known: Classes | None, layout: Layout) -> str:
    return class_of(row.values[task.fields.label], task.fields.label, None if known is None else known.index, layout)


def _add_words(columns: _Columns, row: RawRow, task: Task, known: Classes | None, layout: Layout) -> None:
    assert columns.words is not None
    words = words_of(row, task.fields.text, layout)
    if columns.spans is None:
        label: str | list[str] = _labels_of_words(columns, row, len(words.words), task, known, layout)
    else:
        label = _class_value(row, task, known, layout)
        first, second = ARC_SPANS if task.fields.span is None else (task.fields.span, task.fields.span_pair)
        columns.spans.append(spans_of_row(row, first, second, len(words.words)))
    if words is not columns.last_words and words.mended:
        columns.mended[MENDED_WORDS] += words.mended
    columns.last_words = words
    columns.texts.append(words.text)
    columns.words.append(words.words)
    columns.labels.append(label)


def _labels_of_words(
    columns: _Columns, row: RawRow, n_words: int, task: Task, known: Classes | None, layout: Layout
) -> list[str]:
    column = task.fields.label
    labels = word_labels(row, column, n_words, None if known is None else known.index, layout)
    if task.tags == "words":
        return labels
    tags = labels if known is None else [known.name_of(label) for label in labels]
    for place, tag in enumerate(tags):
        if not is_tag(tag):
            detail = f"{shown(tag)}; tags are O, or B-, I-, E- or S- and a type"
            raise Unusable(column, "unknown label", detail, place)
    columns.mended[STARTS_WITH_I] += starting_inside(tags)
    return WRITERS[task.tags](spans_of(tags), n_words)

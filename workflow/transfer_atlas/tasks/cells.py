"""What a cell of a file says: a text, a class, a score, a group; or why it can be no part of an example."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from transfer_atlas.tasks.rows import RawRow, Reason, shown
from transfer_atlas.tasks.sources import Layout, listed, undecodable


class Unusable(Exception):
    """A value that no example can hold."""

    def __init__(self, column: str, reason: Reason, detail: str, word: int | None = None) -> None:
        super().__init__(detail)
        self.column = column
        self.reason = reason
        self.detail = detail
        self.word = word
        """Which word has the value, counted from 0, where words have cells of their own."""


def equals(value: Any, wanted: str | int | float | bool) -> bool:
    """Whether a cell holds the value that `where` asks for: 1 equals "1" and "1.0", true equals "True" and "true".

    Of the cells of a sentence's words all have to.
    """
    if isinstance(value, tuple):
        return all(equals(cell, wanted) for cell in value)
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


def text_of(row: RawRow, column: str, layout: Layout) -> str:
    """A text, as the file has it.

    Raises:
        Unusable: for what is no text, is not decodable, or is empty.
    """
    value = row.values[column]
    if value is None:
        raise Unusable(column, "empty text", "None")
    if not isinstance(value, str):
        raise Unusable(column, "wrong type", f"{shown(value)} where a text is expected")
    require_characters(value, column, layout)
    if not value.strip():
        raise Unusable(column, "empty text", shown(value))
    return value


def require_characters(value: str, column: str, layout: Layout, word: int | None = None) -> None:
    """Raise `Unusable` for a value that holds bytes which the encoding does not have."""
    problem = "" if value.isascii() else undecodable(value)
    if problem:
        raise Unusable(column, "not decodable", f"{problem} is not {layout.encoding}", word)


def class_of(
    value: Any, column: str, known: Mapping[str, object] | None, layout: Layout, word: int | None = None
) -> str:
    """The label in a cell.

    Raises:
        Unusable: for no label, and one that is not among the `known`, if those are.
    """
    if isinstance(value, float) and math.isnan(value):
        raise Unusable(column, "missing label", "nan", word)
    if value is not None and not isinstance(value, (str, int, float, bool)):
        raise Unusable(column, "wrong type", f"{shown(value)} where a label is expected", word)
    label = as_text(value)
    if not label:
        raise Unusable(column, "missing label", shown(value), word)
    require_characters(label, column, layout, word)
    if known is not None and label not in known:
        raise Unusable(column, "unknown label", f"{shown(label)}; known are {listed(list(known), 6)}", word)
    return label


def score_of(row: RawRow, column: str, score_range: list[float]) -> float:
    """The score in a cell.

    Raises:
        Unusable: for no score, one that is no finite number, and one outside of the range.
    """
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


def group_of(row: RawRow, column: str, layout: Layout) -> str:
    """The group that a row belongs to; all words of a sentence have to name the same one.

    Raises:
        Unusable: for no group, or several.
    """
    value = row.values[column]
    values = list(dict.fromkeys(map(as_text, value))) if isinstance(value, tuple) else [as_text(value)]
    if len(values) > 1:
        raise Unusable(column, "wrong type", f"{listed(values, 3)} where one group is expected")
    if not values[0]:
        raise Unusable(column, "missing group", shown(value))
    require_characters(values[0], column, layout)
    return values[0]

"""What readers yield: a row as the file has it, or a row that cannot be used and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Reason = Literal[
    "bad JSON line",
    "broken quoting",
    "empty text",
    "missing field",
    "missing group",
    "missing label",
    "not decodable",
    "score is not a finite number",
    "score out of range",
    "unknown label",
    "wrong head",
    "wrong number of columns",
    "wrong number of labels",
    "wrong span",
    "wrong type",
    "wrong word number",
]

SHOWN = 60

# The spans of a dependency arc: the dependent, the head.
ARC_SPANS = ("span", "span_pair")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row before it means anything.

    Its cells by column are strings for text formats, any JSON value otherwise, and in sentences one string a word.
    """

    file: str
    """The file as the configuration writes it."""
    number: int
    """Where the row begins: the line of a text file, the row of a parquet file; counted from 1."""
    values: Mapping[str, Any]
    lines: tuple[int, ...] = ()
    """The lines of a sentence's words."""
    part: str = ""
    """What tells rows apart that come from one sentence: a dot and the word."""

    def line_of(self, word: int | None) -> int:
        """The line to name for a problem with a word, or with the whole row."""
        if word is None:
            return self.lines[0] if len(self.lines) == 1 else self.number
        return self.lines[word] if self.lines else self.number


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that no example can be made of."""

    file: str
    number: int
    column: str
    """Name of the column, its number where it has no name, or the position in a broken JSON line."""
    reason: Reason
    detail: str
    """The value, or what was expected."""

    def __str__(self) -> str:
        return f"{self.file}:{self.number}, column {self.column}: {self.reason} ({self.detail})"


def shown(value: Any) -> str:
    """`value` as it fits in a one-line message."""
    if isinstance(value, str) and len(value) > SHOWN:
        return f"{value[:SHOWN]!r}…"
    text = repr(value)
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}…"

"""Rows of words: the words of a text, a label for each, and spans of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transfer_atlas.tasks.cells import Unusable, class_of, require_characters
from transfer_atlas.tasks.examples import NO_SPAN
from transfer_atlas.tasks.rows import RawRow, shown
from transfer_atlas.tasks.sources import Layout

# ASCII white space separates words; other white space (a no-break space in "10 000") is a part of its word.
_SEPARATED = re.compile(r"\S+", re.ASCII)
_WHITE_SPACE = re.compile(r"\s")


@dataclass(frozen=True)
class Words:
    """A text word by word."""

    words: list[str]
    text: str
    """The words with single spaces between them."""
    mended: int
    """How many words held white space, which `_` replaces: words can then be told apart in the text."""


def words_of(row: RawRow, column: str, layout: Layout) -> Words:
    """The words in a cell: a text in which white space separates them, or a list.

    Raises:
        Unusable: for what is neither, for a word that is empty or not decodable, and for no word at all.
    """
    value = row.values[column]
    if isinstance(value, tuple):
        # A sentence's: the reader checked them, because it knows their lines.
        return _joined(value)
    if value is None:
        raise Unusable(column, "empty text", "None")
    if isinstance(value, str):
        require_characters(value, column, layout)
        value = _SEPARATED.findall(value)
    elif not isinstance(value, list):
        raise Unusable(column, "wrong type", f"{shown(value)} where words are expected")
    for place, word in enumerate(value, 1):
        if not isinstance(word, str):
            raise Unusable(column, "wrong type", f"{shown(word)} where word {place} is expected")
        if not _SEPARATED.search(word):
            raise Unusable(column, "empty text", f"{shown(word)} for word {place}")
        require_characters(word, column, layout)
    if not value:
        raise Unusable(column, "empty text", shown(row.values[column]))
    return _joined(tuple(value))


# The arcs of a sentence follow one another, and share its words.
@lru_cache(maxsize=1)
def _joined(found: tuple[str, ...]) -> Words:
    words = [_WHITE_SPACE.sub("_", word) for word in found]
    return Words(words, " ".join(words), sum(word != before for word, before in zip(words, found, strict=True)))


def word_labels(
    row: RawRow, column: str, n_words: int, known: Mapping[str, object] | None, layout: Layout
) -> list[str]:
    """The labels of a row's words: a text in which white space separates them, or a list.

    Raises:
        Unusable: for what is neither, another number of labels than of words, and every label that is no good.
    """
    value = row.values[column]
    if value is None or value == "":
        raise Unusable(column, "missing label", shown(value))
    if isinstance(value, str):
        value = _SEPARATED.findall(value)
    elif not isinstance(value, (list, tuple)):
        raise Unusable(column, "wrong type", f"{shown(value)} where a label for each word is expected")
    if len(value) != n_words:
        raise Unusable(column, "wrong number of labels", f"{len(value)} for {n_words} words")
    return [class_of(label, column, known, layout, place) for place, label in enumerate(value)]


def span_of(row: RawRow, column: str, n_words: int) -> tuple[int, int]:
    """Start and end of a marked span, the end not included.

    Raises:
        Unusable: for what is not two numbers, and for words that the row does not have.
    """
    value = row.values[column]
    if isinstance(value, tuple):
        # An arc's, which the reader made.
        return value[0], value[1]
    ends = value.split() if isinstance(value, str) else value
    if not isinstance(ends, list) or len(ends) != 2:
        raise Unusable(column, "wrong span", f"{shown(value)} where start and end are expected")
    start, end = (_whole(end) for end in ends)
    if not 0 <= start < end <= n_words:
        raise Unusable(column, "wrong span", f"{shown(value)} in a text of {n_words} words")
    return start, end


def spans_of_row(row: RawRow, first: str, second: str | None, n_words: int) -> list[tuple[int, int]]:
    """Both spans of a row, the second being (-1, -1) where only one is marked."""
    return [span_of(row, first, n_words), NO_SPAN if second is None else span_of(row, second, n_words)]


def _whole(value: Any) -> int:
    """A cell as a whole number; -1 where it is none."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else -1
    return value if isinstance(value, int) and not isinstance(value, bool) else -1

"""The canonical form of a split in memory."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Item = TypeVar("Item")
Integers = npt.NDArray[np.int64]

NO_SPAN = (-1, -1)


@dataclass(frozen=True)
class Examples:
    """Labelled texts, in the order of the file; all fields but the labels of words have one entry a row."""

    ids: list[str]
    """Unique and stable: split it was read from, file and row (`train-reviews.csv:17`); of a dependency arc the word
    too (`train-ewt.conllu:17.3`)."""
    texts: list[str]
    pairs: list[str] | None
    """Second texts of the pair types, else None."""
    labels: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    """Class indices (int64) or scores (float64), shape (rows,). Of token_labelling the class of every word, those of
    all rows one after the other, shape (words,)."""
    words: list[list[str]] | None = None
    """For the types that read words: the words of each row, none of them empty, none with white space. The text is
    these words joined by single spaces."""
    spans: npt.NDArray[np.int64] | None = None
    """For span_pair_classification: start and end of the marked spans, shape (rows, 2 spans, 2), counted in words, the
    end not included. The second is (-1, -1) where a row marks one."""
    groups: list[str] | None = None
    """What divides the rows (genre), where the task names a column for it."""

    def __post_init__(self) -> None:
        by_row = [self.texts, self.pairs, self.words, self.spans, self.groups]
        lengths = {len(self.ids), *(len(field) for field in by_row if field is not None)}
        n_labels, expected = len(self.labels), len(self.ids)
        if self.labels_words:
            expected = int(self.offsets[-1])
        if len(lengths) != 1 or n_labels != expected:
            raise ValueError(f"fields of different lengths: {sorted(lengths)}, {n_labels} labels for {expected}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labels_words(self) -> bool:
        """Whether every word has a label, rather than every row."""
        return self.words is not None and self.spans is None

    @cached_property
    def offsets(self) -> Integers:
        """Where the words of each row begin among those of all rows, and their number, shape (rows + 1,).

        Raises:
            ValueError: The rows have no words.
        """
        if self.words is None:
            raise ValueError("these examples are texts, not words")
        lengths = np.fromiter(map(len, self.words), dtype=np.int64, count=len(self.words))
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])

    def take(self, indices: Sequence[int] | Integers) -> Examples:
        """The rows at `indices`, in that order."""
        where = np.asarray(indices, dtype=np.int64)
        places = where.tolist()
        return Examples(
            ids=_at(self.ids, places),
            texts=_at(self.texts, places),
            pairs=None if self.pairs is None else _at(self.pairs, places),
            labels=self.labels[self._words_of(where) if self.labels_words else where],
            words=None if self.words is None else _at(self.words, places),
            spans=None if self.spans is None else self.spans[where],
            groups=None if self.groups is None else _at(self.groups, places),
        )

    def without(self, ids: Set[str]) -> Examples:
        """The rows that have none of these ids."""
        return self.take([row for row, id_ in enumerate(self.ids) if id_ not in ids])

    def _words_of(self, rows: Integers) -> Integers:
        """Positions of all words of some rows, row by row."""
        starts, lengths = self.offsets[rows], np.diff(self.offsets)[rows]
        before = np.cumsum(lengths) - lengths
        return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def _at(items: list[Item], places: list[int]) -> list[Item]:
    return [items[place] for place in places]

"""Texts that two splits or two tasks share.

Within a task a row is a whole: a pair counts as seen when both of its texts were seen together, in either order.
Between tasks each text counts by itself: a row shares a text when any of its texts equals any text of the other side,
because a sentence of a target's test pairs is given away by a training row that holds it alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import normalise, text_keys


def row_texts(examples: Examples) -> list[tuple[str, ...]]:
    """The texts of each row: one, or two for pairs."""
    if examples.pairs is None:
        return [(text,) for text in examples.texts]
    return list(zip(examples.texts, examples.pairs, strict=True))


def forbidden_keys(*evaluation: Examples) -> set[str]:
    """Normalised texts of evaluation splits (a target's validation and test), each text by itself."""
    keys: set[str] = set()
    for examples in evaluation:
        keys |= text_keys(examples.texts) | text_keys(examples.pairs or [])
    return keys


@dataclass(frozen=True)
class Shared:
    """How many of the `rows` rows of a task's split share a text with a split of another task."""

    task: str
    split: str
    other_task: str
    other_split: str
    shared: int
    rows: int


def shared_rows(splits: Iterable[tuple[str, str, Examples]]) -> list[Shared]:
    """Overlap of every split with every split of every other task.

    Args:
        splits: (task, split, examples), each read once and let go.

    Returns:
        One entry for every ordered pair of splits of different tasks, in the order given.
    """
    names: list[tuple[str, str]] = []
    rows_of: list[list[tuple[str, ...]]] = []
    # One bit for each split that holds a text: a row's neighbours are then the union of its texts' bits, and the
    # cost is that of one pass over the texts, not of one pass for every pair of splits.
    holders: dict[str, int] = {}
    for task, split, examples in splits:
        bit = 1 << len(names)
        names.append((task, split))
        rows = [tuple(normalise(text) for text in texts) for texts in row_texts(examples)]
        rows_of.append(rows)
        for keys in rows:
            for key in keys:
                holders[key] = holders.get(key, 0) | bit
    found: list[Shared] = []
    for (task, split), rows in zip(names, rows_of, strict=True):
        shared = _neighbours(rows, holders, len(names))
        found.extend(
            Shared(task, split, other_task, other_split, shared[position], len(rows))
            for position, (other_task, other_split) in enumerate(names)
            if other_task != task
        )
    return found


def _neighbours(rows: list[tuple[str, ...]], holders: Mapping[str, int], n_splits: int) -> list[int]:
    masks: Counter[int] = Counter()
    for keys in rows:
        mask = 0
        for key in keys:
            mask |= holders[key]
        masks[mask] += 1
    return [sum(count for mask, count in masks.items() if mask >> bit & 1) for bit in range(n_splits)]

"""Shared texts, against counting by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import normalise
from transfer_atlas.tasks.overlap import Shared, forbidden_keys, row_texts, rows_without, shared_rows


def examples(texts: list[str], pairs: list[str] | None = None) -> Examples:
    ids = [f"train-x:{row}" for row in range(len(texts))]
    return Examples(ids, texts, pairs, np.arange(len(texts), dtype=np.int64))


def test_rows_without_the_texts_of_a_target() -> None:
    target = examples(["One, two.", "three"], ["four", "five"])
    forbidden = forbidden_keys(target)
    assert forbidden == {"onetwo", "three", "four", "five"}
    single, removed = rows_without(examples(["one two", "two", "FIVE!", "three four"]), forbidden)
    assert (single.texts, removed, single.labels.tolist()) == (["two", "three four"], 2, [1, 3])
    pair, removed = rows_without(examples(["a", "b", "four"], ["b", "three", "c"]), forbidden)
    assert (pair.texts, pair.pairs, removed) == (["a"], ["b"], 2)


def test_nothing_forbidden_and_everything_forbidden() -> None:
    rows = examples(["a", "b"])
    everything, removed = rows_without(rows, set())
    assert (everything.texts, removed) == (["a", "b"], 0)
    nothing, removed = rows_without(rows, {"a", "b"})
    assert (len(nothing), removed) == (0, 2)
    assert forbidden_keys() == set()


@pytest.mark.parametrize("case", range(10))
def test_shared_rows_against_counting_by_hand(case: int) -> None:
    dice = random.Random(case)

    def some(pair: bool) -> Examples:
        n_rows = dice.randrange(1, 30)
        texts = [[f"Text {dice.randrange(25)} ." for _ in range(n_rows)] for _ in range(2)]
        return examples(texts[0], texts[1] if pair else None)

    splits = [(task, split, some(task == "b")) for task in "abc" for split in ("train", "test")]
    expected = [
        Shared(
            task,
            split,
            other,
            other_split,
            sum(
                any(normalise(t) in {normalise(u) for row in row_texts(there) for u in row} for t in texts)
                for texts in row_texts(here)
            ),
            len(here),
        )
        for task, split, here in splits
        for other, other_split, there in splits
        if task != other
    ]
    assert shared_rows(splits) == expected

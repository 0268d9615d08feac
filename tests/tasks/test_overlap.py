"""Shared texts, against counting by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest

from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import normalise
from transfer_atlas.tasks.overlap import Shared, forbidden_keys, row_texts, shared_rows


def examples(texts: list[str], pairs: list[str] | None = None) -> Examples:
    ids = [f"train-x:{row}" for row in range(len(texts))]
    return Examples(ids, texts, pairs, np.arange(len(texts), dtype=np.int64))


def test_evaluation_texts_of_a_task_are_normalised_each_by_itself() -> None:
    assert forbidden_keys(examples(["One, two.", "three"], ["four", "five"])) == {"onetwo", "three", "four", "five"}
    assert forbidden_keys(examples(["a"]), examples(["b", "A!"])) == {"a", "b"}
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

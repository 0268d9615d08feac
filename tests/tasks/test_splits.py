"""Carving and limits: fixed, disjoint, and equal texts stay together."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys

import numpy as np
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.splits import carve, limited, wanted_rows

CASES = range(30)


def random_keys(case: int) -> list[str]:
    """Keys of 20 to 300 rows, some of them many times."""
    dice = random.Random(case)
    return [f"text {dice.randrange(dice.choice([10, 400]))}" for _ in range(dice.randrange(20, 300))]


@pytest.mark.parametrize("case", CASES)
def test_carving_is_a_partition_that_keeps_equal_texts_together(case: int) -> None:
    keys = random_keys(case)
    sizes = {"test": len(keys) // 10, "validation": len(keys) // 5}
    parts = carve(keys, sizes, "carve")
    assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(len(keys)))
    texts = {split: {keys[index] for index in indices} for split, indices in parts.items()}
    assert not texts["test"] & texts["validation"] and not texts["train"] & (texts["test"] | texts["validation"])
    for split, size in sizes.items():
        largest = max(keys.count(text) for text in texts[split])
        assert size <= len(parts[split]) < size + largest
        assert parts[split].tolist() == sorted(parts[split].tolist())


@pytest.mark.parametrize("case", CASES)
def test_carving_does_not_depend_on_the_order_of_rows(case: int) -> None:
    keys = random_keys(case)
    order = random.Random(-case).sample(range(len(keys)), len(keys))
    sizes = {"test": 5, "validation": 5}
    here, there = carve(keys, sizes, "carve"), carve([keys[index] for index in order], sizes, "carve")
    for split in here:
        assert {keys[i] for i in here[split]} == {keys[order[i]] for i in there[split]}


@pytest.mark.parametrize("case", CASES)
def test_a_larger_carving_holds_the_smaller(case: int) -> None:
    keys = random_keys(case)
    smaller, larger = carve(keys, {"test": 3}, "carve")["test"], carve(keys, {"test": 8}, "carve")["test"]
    assert set(smaller.tolist()) <= set(larger.tolist())


def test_carving_is_the_same_in_another_process() -> None:
    code = (
        "from transfer_atlas.tasks.splits import carve; "
        "print(carve([f'text {i % 40}' for i in range(60)], {'test': 7}, '')['test'].tolist())"
    )
    found = set()
    for hash_seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        found.add(done.stdout.strip())
    assert found == {"[12, 13, 19, 26, 30, 52, 53, 59]"}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"test": 10}, r"carve.test: 10 rows cannot be carved from 10 .*\(10 training rows, 5 different texts\)"),
        ({"test": 11}, r"carve.test: 11 rows cannot be carved"),
        ({"test": 4, "validation": 6}, r"carve.validation: 6 rows cannot be carved from 6 and leave rows to train on"),
        ({"test": 9}, r"carve.test: 9 rows cannot be carved"),
    ],
)
def test_impossible_carvings(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        carve([f"text {index // 2}" for index in range(10)], sizes, "carve")


def test_wanted_rows() -> None:
    assert wanted_rows(7, 3, "x") == 7
    assert wanted_rows(0.1, 8530, "x") == 853
    with pytest.raises(UserError, match=r"tasks.toy.carve.test: 0.1 of 4 rows is less than one row"):
        wanted_rows(0.1, 4, "tasks.toy.carve.test")


@pytest.mark.parametrize("case", CASES)
def test_limits_are_nested_and_keep_the_order(case: int) -> None:
    keys = random_keys(case)
    kept = [limited(keys, size).tolist() for size in (1, 10, len(keys), len(keys) + 5)]
    assert [len(rows) for rows in kept] == [1, 10, len(keys), len(keys)]
    assert all(set(fewer) <= set(more) for fewer, more in itertools.pairwise(kept))
    assert all(rows == sorted(rows) for rows in kept)

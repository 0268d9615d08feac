"""Training subsets: nested over sizes, of their seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.subsets import nested_subset


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_subset_is_the_beginning_of_a_larger(seed: int) -> None:
    everything = nested_subset(500, "all", seed)
    assert sorted(everything.tolist()) == list(range(500))
    for size in (1, 7, 64, 499, 500):
        assert nested_subset(500, size, seed).tolist() == everything[:size].tolist()


def test_seeds_choose_differently() -> None:
    assert len({tuple(nested_subset(100, 10, seed).tolist()) for seed in range(20)}) == 20


def test_the_choice_never_changes() -> None:
    # Pinned: another numpy or another stream would silently make other results under the same settings.
    assert nested_subset(10, "all", 1).dtype == np.int64
    assert nested_subset(10, "all", 1).tolist() == [2, 8, 9, 0, 4, 5, 6, 1, 3, 7]


def test_more_than_there_are() -> None:
    with pytest.raises(UserError, match=r"a train size of 11 needs 11 training rows and there are 10"):
        nested_subset(10, 11, 1)

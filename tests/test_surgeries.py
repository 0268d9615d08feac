"""What a surgery does to which layers, as plain numbers."""

from __future__ import annotations

import pytest

from transfer_atlas.settings import Surgery
from transfer_atlas.surgeries import Operation, operation, permutation, possible_depths

PROGRESSIVE, SINGLE = Surgery(kind="progressive"), Surgery(kind="single")
BLOCK, PRESERVE = Surgery(kind="block", width=3), Surgery(kind="preserve", width=3)
PERMUTE = Surgery(kind="permute", permutations=10)


@pytest.mark.parametrize(
    ("surgery", "depths"),
    [
        (PROGRESSIVE, range(13)),
        (SINGLE, range(1, 13)),
        (BLOCK, range(1, 11)),
        (PRESERVE, range(1, 11)),
        (PERMUTE, range(1, 11)),
        (Surgery(kind="block", width=12), [1]),
        (Surgery(kind="block", width=13), []),
        (Surgery(kind="none"), []),
    ],
)
def test_where_a_surgery_can_act(surgery: Surgery, depths: range) -> None:
    assert possible_depths(surgery, 12) == list(depths)


@pytest.mark.parametrize(
    ("surgery", "depths"), [(PROGRESSIVE, [0, 12]), (SINGLE, []), (BLOCK, []), (PRESERVE, []), (PERMUTE, [])]
)
def test_shared_layers_are_all_kept_or_none(surgery: Surgery, depths: list[int]) -> None:
    assert possible_depths(surgery, 12, shared=True) == depths


@pytest.mark.parametrize(
    ("surgery", "depth", "redrawn"),
    [
        (PROGRESSIVE, 0, (1, 2, 3, 4, 5, 6)),
        (PROGRESSIVE, 4, (5, 6)),
        (PROGRESSIVE, 6, ()),
        (BLOCK, 1, (1, 2, 3)),
        (BLOCK, 4, (4, 5, 6)),
        (PRESERVE, 1, (4, 5, 6)),
        (PRESERVE, 2, (1, 5, 6)),
        (SINGLE, 5, (5,)),
    ],
)
def test_which_layers_are_redrawn(surgery: Surgery, depth: int, redrawn: tuple[int, ...]) -> None:
    assert operation(surgery, depth, 6) == Operation(redrawn)


@pytest.mark.parametrize(("surgery", "depth"), [(PROGRESSIVE, 7), (BLOCK, 5), (BLOCK, 0), (SINGLE, 0), (PERMUTE, 11)])
def test_nowhere_else(surgery: Surgery, depth: int) -> None:
    with pytest.raises(ValueError, match="cannot act"):
        operation(surgery, depth, 6)


def test_the_papers_permutations() -> None:
    """As listed in notes on the authors' code, which count layers from 0."""
    assert permutation(1, 12) == tuple(old + 1 for old in (2, 3, 4, 10, 1, 6, 0, 7, 11, 9, 8, 5))
    assert permutation(10, 12) == tuple(old + 1 for old in (2, 6, 7, 5, 11, 8, 10, 3, 1, 0, 4, 9))
    assert operation(PERMUTE, 10, 12) == Operation(order=permutation(10, 12))


def test_the_order_that_is_there_already_is_no_operation() -> None:
    number = next(number for number in range(1, 11) if permutation(number, 2) == (1, 2))
    assert operation(PERMUTE, number, 2) == Operation()

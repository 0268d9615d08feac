from __future__ import annotations

import pytest
import torch
from torch import Tensor

from transfer_atlas.models.packed_attention import attend, attend_backward
from transfer_atlas.models.packing import MULTIPLE, ROW_MULTIPLE, SHORTEST, TEXTS_IN_BLOCK, Block, Packing

CPU = torch.device("cpu")
HEADS, SIZE = 2, 3
# Of one block and of several, sorted and not, with and without filler.
LENGTHS = {
    "one text": [5],
    "no filler": [ROW_MULTIPLE - 3, 3],
    "sorted": sorted([2, 9, 17, 30, 3, 3, 18, 25, 40, 5, 5, 6]),
    "unsorted": [40, 2, 17, 9, 3, 60, 3, 5, 18, 25, 2, 33, 7, 7, 7, 21, 50],
    "equal": [20] * 19,
}


def packing_of(lengths: list[int]) -> Packing:
    return Packing(torch.tensor(lengths), CPU)


@pytest.fixture(params=LENGTHS.values(), ids=LENGTHS.keys())
def packing(request: pytest.FixtureRequest) -> Packing:
    return packing_of(request.param)


def slot_of_each_token(packing: Packing) -> list[tuple[Block, int, int]]:
    """Block, text within the block and position of each token, text by text."""
    places, lengths = [], iter(packing.lengths.tolist())
    for block in packing.blocks:
        for text in range(block.texts):
            places += [(block, text, position) for position in range(next(lengths))]
    assert next(lengths, None) is None
    return places


# --- blocks ------------------------------------------------------------------------------------------------


def test_blocks_hold_all_texts_and_slots_in_order(packing: Packing) -> None:
    assert sum(block.texts for block in packing.blocks) == len(packing.lengths)
    starts = [block.start for block in packing.blocks]
    sizes = [block.texts * block.length for block in packing.blocks]
    assert starts == [sum(sizes[:k]) for k in range(len(sizes))]
    assert packing.slots == sum(sizes)
    assert all(block.length >= SHORTEST and block.length % MULTIPLE == 0 for block in packing.blocks)


def test_neighbouring_blocks_of_equal_length_merge() -> None:
    blocks = packing_of([20] * (2 * TEXTS_IN_BLOCK) + [30] * 3).blocks
    assert [(block.texts, block.length) for block in blocks] == [(2 * TEXTS_IN_BLOCK, 24), (3, 32)]
    # The longest text of a block decides.
    blocks = packing_of([20] * (TEXTS_IN_BLOCK + 1) + [30] * (TEXTS_IN_BLOCK - 1)).blocks
    assert [(block.texts, block.length) for block in blocks] == [(TEXTS_IN_BLOCK, 24), (TEXTS_IN_BLOCK, 32)]


def test_blocks_of_equal_length_that_are_no_neighbours_stay_apart() -> None:
    lengths = [20] * TEXTS_IN_BLOCK + [60] * TEXTS_IN_BLOCK + [20] * TEXTS_IN_BLOCK
    assert [block.length for block in packing_of(lengths).blocks] == [24, 64, 24]


def test_masks_show_the_slots_that_hold_tokens(packing: Packing) -> None:
    lengths = iter(packing.lengths.tolist())
    for block, mask in zip(packing.blocks, packing.masks, strict=True):
        assert mask.shape == (block.texts, 1, 1, block.length)
        for text in range(block.texts):
            length = next(lengths)
            assert not mask[text, ..., :length].any()
            assert (mask[text, ..., length:] == float("-inf")).all()


def test_padded_view_gives_the_tokens_back(packing: Packing) -> None:
    found: list[int] = []
    for slots, inside in packing.padded():
        assert slots.shape == inside.shape
        assert inside[:, -1].any(), "padded beyond the longest text"
        found += slots[inside].tolist()
    assert found == list(range(packing.tokens))


def test_boundaries(packing: Packing) -> None:
    lengths = packing.lengths.tolist()
    assert packing.boundaries.tolist() == [sum(lengths[:k]) for k in range(len(lengths) + 1)]
    assert packing.boundaries.dtype == torch.int32


# --- rows --------------------------------------------------------------------------------------------------


def test_rows_equal_a_brute_force_reference(packing: Packing) -> None:
    """Loops over every token, head and part."""
    rows = packing.rows(HEADS)
    of_slots = [0] * (3 * packing.slots * HEADS)
    for part in range(3):
        for block in packing.blocks:
            for text in range(block.texts):
                for head in range(HEADS):
                    for position in range(block.length):
                        slot = ((block.start + text * block.length) * HEADS) + head * block.length + position
                        of_slots[part * packing.slots * HEADS + slot] = part * HEADS + head
    of_context, of_tokens = [], []
    for token, (block, text, position) in enumerate(slot_of_each_token(packing)):
        slots = [(block.start + text * block.length) * HEADS + head * block.length + position for head in range(HEADS)]
        of_context += slots
        for part in range(3):
            for head, slot in enumerate(slots):
                row = part * packing.slots * HEADS + slot
                of_tokens.append(row)
                of_slots[row] = (token * 3 + part) * HEADS + head
    assert rows.of_slots.tolist() == of_slots
    assert rows.of_context.tolist() == of_context
    assert rows.of_tokens.tolist() == of_tokens
    assert packing.rows(HEADS) is rows


# --- filler ------------------------------------------------------------------------------------------------


def test_a_row_is_filled_up(packing: Packing) -> None:
    assert packing.tokens == int(packing.lengths.sum())
    assert (packing.tokens + packing.filler) % ROW_MULTIPLE == 0
    assert 0 <= packing.filler < ROW_MULTIPLE


def attention_of(qkv: Tensor, gradient: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """Contexts, and gradients of queries, keys and values."""
    context, saved = attend(qkv, packing, HEADS, 0.5, None)
    return context, attend_backward(gradient, saved, packing, HEADS, 0.5)


def test_filler_changes_nothing_and_gets_nothing() -> None:
    packing = packing_of([7, 12, 3])
    assert packing.filler > 0
    random = torch.Generator().manual_seed(1)
    total, width = packing.tokens + packing.filler, HEADS * SIZE
    qkv = torch.randn(total, 3 * width, generator=random)
    gradient = torch.randn(total, width, generator=random)
    other, other_gradient = qkv.clone(), gradient.clone()
    other[packing.tokens :], other_gradient[packing.tokens :] = 1e3, 1e3

    context, to_qkv = attention_of(qkv, gradient, packing)
    other_context, other_to_qkv = attention_of(other, other_gradient, packing)

    assert torch.equal(context, other_context)
    assert torch.equal(to_qkv, other_to_qkv)
    assert to_qkv[: packing.tokens].abs().sum(1).all()
    assert not context[packing.tokens :].any()
    assert not to_qkv[packing.tokens :].any()

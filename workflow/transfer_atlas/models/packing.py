"""Packing: B texts as one row of T real tokens, and where attention finds each text's tokens.

Only attention needs to know which tokens belong together. It works on blocks of texts of similar length, each block a
small padded view; linear maps, LayerNorm and activations see real tokens only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

# Texts of a block on a CPU. Batches are sorted by length, so a block pads little; smaller blocks pad less but cost more
# calls.
TEXTS_IN_BLOCK = 4
# Softmax and small matrix products are several times faster on rows of whole vector registers.
SHORTEST, MULTIPLE = 16, 8
# A row is filled up to a multiple of this many tokens: matrix kernels are generated for each new shape, which costs as
# much as half of a small product.
ROW_MULTIPLE = 16


def _parts(lengths: Tensor, device: torch.device) -> list[tuple[Tensor, int]]:
    """Lengths of the texts of each block, and how many slots each text gets."""
    # Launching kernels is what costs on a GPU, so there the whole batch is one block.
    size = TEXTS_IN_BLOCK if device.type == "cpu" else len(lengths)
    parts: list[tuple[Tensor, int]] = []
    for part in lengths.split(size):
        length = max(SHORTEST, -(-int(part.max()) // MULTIPLE) * MULTIPLE)
        if parts and parts[-1][1] == length:
            part = torch.cat([parts.pop()[0], part])
        parts.append((part, length))
    return parts


@dataclass(frozen=True)
class Block:
    """Neighbouring texts of a packed row that attend in one padded view of [texts, length] slots, from `start` on."""

    texts: int
    length: int
    start: int


@dataclass(frozen=True)
class AttentionRows:
    """Where the rows of queries, keys and values lie, for h heads; S slots in all, T tokens.

    The padded buffer holds, for each of query, key and value, block after block of [texts, h, length] rows.

    Attributes:
        of_slots: [3 * S * h] row of [T * 3 * h] that each row of the padded buffer takes (that of token 0 if empty).
        of_context: [T * h] row of the padded queries' buffer that belongs to each token and head.
        of_tokens: [T * 3 * h] row of the whole padded buffer that belongs to each row of [T, 3, h].
    """

    of_slots: Tensor
    of_context: Tensor
    of_tokens: Tensor


class Packing:
    """Where the tokens of each text lie in a packed row.

    Attributes:
        lengths: [B] tokens of each text, on the device.
        tokens: T, their sum.
        longest: Tokens of the longest text.
        filler: Tokens behind the last text that belong to no text: nothing attends to them, no gradient reaches them.
        blocks: Texts that attend together.
        masks: For each block [texts, 1, 1, length], 0 at tokens and -inf at empty slots.
    """

    def __init__(self, lengths: Tensor, device: torch.device):
        """Pack texts with these lengths ([B], int64, on the CPU)."""
        self.device = device
        self.lengths = lengths.to(device)
        self.tokens = int(lengths.sum())
        self.filler = -self.tokens % ROW_MULTIPLE
        self.longest = int(lengths.max())
        self.blocks: list[Block] = []
        self.masks: list[Tensor] = []
        token_of_slot, slot_of_token, tokens, slots = [], [], 0, 0
        for part, length in _parts(lengths, device):
            filled = torch.arange(length) < part[:, None]
            inside = filled.flatten().nonzero().squeeze(1)
            of_slot = torch.zeros(filled.numel(), dtype=torch.int64)
            of_slot[inside] = torch.arange(tokens, tokens + len(inside))
            token_of_slot.append(of_slot)
            slot_of_token.append(inside + slots)
            self.blocks.append(Block(len(part), length, slots))
            mask = torch.zeros(len(part), 1, 1, length).masked_fill_(~filled[:, None, None], float("-inf"))
            self.masks.append(mask.to(device))
            tokens, slots = tokens + len(inside), slots + filled.numel()
        self.slots = slots
        self._token_of_slot = torch.cat(token_of_slot)
        self._slot_of_token = torch.cat(slot_of_token)
        self._rows: dict[int, AttentionRows] = {}

    def padded(self) -> Iterator[tuple[Tensor, Tensor]]:
        """For each block: [texts, longest] token of each slot (0 where empty), and whether a slot holds a token."""
        for block, mask in zip(self.blocks, self.masks, strict=True):
            inside = mask[:, 0, 0] == 0
            longest = int(inside.sum(1).max())
            slots = self._token_of_slot[block.start : block.start + block.texts * block.length]
            yield slots.view(inside.shape)[:, :longest].to(self.device), inside[:, :longest]

    @cached_property
    def boundaries(self) -> Tensor:
        """[B + 1] int32, where each text begins: what variable-length kernels ask for."""
        ends = torch.cumsum(self.lengths, 0, dtype=torch.int32)
        return torch.cat([torch.zeros(1, dtype=torch.int32, device=self.device), ends])

    def rows(self, heads: int) -> AttentionRows:
        """Rows for so many heads; the same for every layer, so worked out once."""
        if heads not in self._rows:
            self._rows[heads] = self._rows_of(heads)
        return self._rows[heads]

    def _rows_of(self, heads: int) -> AttentionRows:
        head = torch.arange(heads)
        sources, places = [], []
        for block in self.blocks:
            shape = (block.texts, block.length)
            first = (
                torch.arange(block.texts)[:, None, None] * heads * block.length + torch.arange(block.length)[:, None]
            )
            # [texts, length, heads]: where token and head lie in the block's [texts, heads, length].
            places.append((block.start * heads + first + head * block.length).view(-1, heads))
            tokens = self._token_of_slot[block.start : block.start + block.texts * block.length].view(shape)
            sources.append((tokens[:, None, :] * 3 * heads + head[:, None]).flatten())
        of_context = torch.cat(places)[self._slot_of_token]
        queries, third = torch.cat(sources), self.slots * heads
        parts = torch.arange(3)
        return AttentionRows(
            of_slots=(queries + parts[:, None] * heads).flatten().to(self.device),
            of_context=of_context.flatten().to(self.device),
            of_tokens=(of_context[:, None, :] + parts[:, None] * third).flatten().to(self.device),
        )


@dataclass(frozen=True)
class PackedBatch:
    """B texts as one row of T tokens.

    Attributes:
        input_ids, token_type_ids, position_ids: [1, T + filler], int64.
        packing: Where each text's tokens lie.
        states: [T + filler, H] of the highest frozen layer, where they are known already; else None.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    packing: Packing
    states: Tensor | None = None

    @property
    def tokens(self) -> int:
        """Number of real tokens T."""
        return self.packing.tokens

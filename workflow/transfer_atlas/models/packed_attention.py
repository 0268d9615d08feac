"""Attention over packed sequences: no padding anywhere but inside the attention product.

A batch of B texts is one row of T real tokens, so linear maps, LayerNorm and activations never see padding.
Registered with transformers as the attention implementation `packed`; the encoder's own code is untouched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from transfer_atlas.models.dropout import StreamDropout

PACKED = "packed"


# Texts that share a padded view. Batches are sorted by length, so a group pads little; smaller groups pad less but
# cost more calls.
GROUP = 8


@dataclass(frozen=True)
class Padding:
    """How n tokens of B texts, the longest of L tokens, lie in a padded [B, L] view.

    Attributes:
        slots: [n] index of each token in the flattened view.
        token_of_slot: [B * L] index of the token in each slot, 0 for empty slots.
        filled: [B, 1, 1, L] true at slots that hold a token.
    """

    slots: Tensor
    token_of_slot: Tensor
    filled: Tensor


@dataclass(frozen=True)
class Group:
    """Neighbouring texts of a packed row that attend in one padded view.

    Attributes:
        tokens: How many tokens of the row are the group's.
        texts, longest: Number of texts B and tokens L of the longest.
        padding: None when the texts are equally long.
    """

    tokens: int
    texts: int
    longest: int
    padding: Padding | None

    @staticmethod
    def of(lengths: list[int], device: torch.device) -> Group:
        """The group of texts with these lengths."""
        texts, longest, tokens = len(lengths), max(lengths), sum(lengths)
        if texts * longest == tokens:
            return Group(tokens, texts, longest, None)
        filled = torch.arange(longest)[None, :] < torch.tensor(lengths)[:, None]
        slots = filled.flatten().nonzero().squeeze(1)
        token_of_slot = torch.zeros(filled.numel(), dtype=torch.int64)
        token_of_slot[slots] = torch.arange(tokens)
        padding = Padding(slots.to(device), token_of_slot.to(device), filled[:, None, None, :].to(device))
        return Group(tokens, texts, longest, padding)


@dataclass(frozen=True)
class Packing:
    """Where the tokens of each text lie in a packed row: [B] token counts, and the groups that attend together."""

    lengths: Tensor
    groups: list[Group]

    @staticmethod
    def of(lengths: Tensor, device: torch.device) -> Packing:
        """The packing of texts with these lengths ([B], int64, on the CPU)."""
        groups = [Group.of(part.tolist(), device) for part in lengths.split(GROUP)]
        return Packing(lengths.to(device), groups)


class _Pad(torch.autograd.Function):
    """[T, ...] -> [B * L, ...]. Each token has one slot, so the gradient is a plain selection, not a scatter-add."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, padding: Padding) -> Tensor:
        ctx.padding = padding
        return tokens.index_select(0, padding.token_of_slot)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].index_select(0, ctx.padding.slots), None


class _Unpad(torch.autograd.Function):
    """[B * L, ...] -> [T, ...], the inverse of `_Pad`; empty slots get no gradient."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, padding: Padding) -> Tensor:
        ctx.padding, ctx.shape = padding, slots.shape
        return slots.index_select(0, padding.slots)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].new_zeros(ctx.shape).index_copy_(0, ctx.padding.slots, gradients[0]), None


def _attend(states: Iterable[Tensor], group: Group, scale: float, dropout: nn.Module | None) -> Tensor:
    """Attention of one group: query, key and value [n, heads, d] to [n, heads, d]."""
    query, key, value = states
    heads, size = query.shape[1:]
    padding = group.padding

    def padded(tokens: Tensor) -> Tensor:
        slots: Tensor = tokens if padding is None else _Pad.apply(tokens.reshape(-1, heads * size), padding)
        return slots.reshape(group.texts, group.longest, heads, size).transpose(1, 2)

    query, key, value = padded(query), padded(key), padded(value)
    if dropout is None:
        mask = None if padding is None else padding.filled
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    else:
        scores = torch.matmul(query * scale, key.transpose(2, 3))
        if padding is not None:
            scores = scores.masked_fill(~padding.filled, float("-inf"))
        # In float32: exact, and on a CPU faster than the bfloat16 kernel.
        weights = dropout(torch.softmax(scores.float(), dim=-1).to(value.dtype))
        mixed = torch.matmul(weights, value)
    slots = mixed.transpose(1, 2).reshape(-1, heads * size)
    attended: Tensor = slots if padding is None else _Unpad.apply(slots, padding)
    return attended.view(-1, heads, size)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    packing: Packing,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each text of a packed row.

    Shapes: query, key, value [1, heads, T, d] in; [1, T, heads, d] out. The result for the real tokens equals padded
    attention with a mask over the padding.
    """
    scale = query.shape[3] ** -0.5 if scaling is None else scaling
    dropout = getattr(module, "dropout", None)
    active = dropout if isinstance(dropout, StreamDropout) and dropout.active else None
    # `split` and not slices: its gradient is one concatenation.
    sizes = [group.tokens for group in packing.groups]
    parts = zip(*(tensor[0].transpose(0, 1).split(sizes) for tensor in (query, key, value)), strict=True)
    mixed = [_attend(part, group, scale, active) for part, group in zip(parts, packing.groups, strict=True)]
    return torch.cat(mixed)[None], None


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed attention knows its own boundaries; no mask tensor is built."""
    return None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, _no_mask)

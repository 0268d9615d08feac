"""Attention over packed sequences: no padding anywhere but inside the attention product.

A batch of B texts is one row of T real tokens, so linear maps, LayerNorm and activations never see padding.
Registered with transformers as the attention implementation `packed`; the encoder's own code is untouched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from transfer_atlas.models.dropout import StreamDropout

PACKED = "packed"


@dataclass(frozen=True)
class Packing:
    """Where the tokens of each text lie in a packed row.

    Attributes:
        slots: [T] index of each token in the flattened [B, L] padded view, L being the longest text.
        token_of_slot: [B * L] index of the token in each slot; 0 for empty slots.
        empty: [B, 1, 1, L] true at slots without a token, or None when all texts are equally long.
        lengths: [B] tokens per text.
    """

    slots: Tensor
    token_of_slot: Tensor
    empty: Tensor | None
    lengths: Tensor

    @staticmethod
    def of(lengths: Tensor) -> Packing:
        """Return the packing of texts with these lengths ([B], int64)."""
        batch, longest = len(lengths), int(lengths.max())
        filled = torch.arange(longest, device=lengths.device)[None, :] < lengths[:, None]
        slots = filled.flatten().nonzero().squeeze(1)
        token_of_slot = torch.zeros(batch * longest, dtype=torch.int64, device=lengths.device)
        token_of_slot[slots] = torch.arange(len(slots), device=lengths.device)
        empty = None if bool(filled.all()) else ~filled[:, None, None, :]
        return Packing(slots, token_of_slot, empty, lengths)


class _Pad(torch.autograd.Function):
    """[T, ...] -> [B * L, ...]. Each token has one slot, so the gradient is a plain selection, not a scatter-add."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, packing: Packing) -> Tensor:
        ctx.packing = packing
        return tokens.index_select(0, packing.token_of_slot)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].index_select(0, ctx.packing.slots), None


class _Unpad(torch.autograd.Function):
    """[B * L, ...] -> [T, ...], the inverse of `_Pad`; empty slots get no gradient."""

    @staticmethod
    def forward(ctx: Any, slots: Tensor, packing: Packing) -> Tensor:
        ctx.packing, ctx.shape = packing, slots.shape
        return slots.index_select(0, packing.slots)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        if ctx.packing.empty is None:
            return gradients[0], None
        return gradients[0].new_zeros(ctx.shape).index_copy_(0, ctx.packing.slots, gradients[0]), None


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
    batch = len(packing.lengths)
    heads, size = query.shape[1], query.shape[3]
    scale = size**-0.5 if scaling is None else scaling

    def padded(states: Tensor) -> Tensor:
        slots: Tensor = _Pad.apply(states[0].transpose(0, 1).reshape(-1, heads * size), packing)  # type: ignore[no-untyped-call]
        return slots.view(batch, -1, heads, size).transpose(1, 2)

    scores = torch.matmul(padded(query * scale), padded(key).transpose(2, 3))
    if packing.empty is not None:
        scores = scores.masked_fill(packing.empty, float("-inf"))
    # In float32: exact, and on a CPU faster than the bfloat16 kernel.
    weights = torch.softmax(scores.float(), dim=-1).to(value.dtype)
    dropout = getattr(module, "dropout", None)
    if isinstance(dropout, StreamDropout):
        weights = dropout(weights)
    mixed = torch.matmul(weights, padded(value)).transpose(1, 2).reshape(-1, heads * size)
    tokens: Tensor = _Unpad.apply(mixed, packing)  # type: ignore[no-untyped-call]
    return tokens.view(1, -1, heads, size), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed attention knows its own boundaries; no mask tensor is built."""
    return None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, _no_mask)

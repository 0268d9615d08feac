"""Attention over packed sequences, forward and backward written out.

Scaled dot-product attention (Vaswani et al. 2017, eq. 1) within each text of a packed row. Writing the backward pass
out saves what a general one cannot know: one gather brings queries, keys and values of all heads into place, masks
are drawn as numbers, and nothing is copied twice.

Registered with transformers as the attention implementation `packed`, and the core of our own fused layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from transfer_atlas.models import varlen_attention
from transfer_atlas.models.dropout import StreamDropout, draw_kept
from transfer_atlas.models.packing import Packing
from transfer_atlas.models.varlen_attention import VarlenAttended

PACKED = "packed"


@dataclass
class Attended:
    """What the backward pass needs of a forward pass.

    Attributes:
        rows: [3, S * h, d] queries, keys and values in padded order.
        weights: Attention weights of each block, [texts * h, length, length], as they met the values.
        softmax: The same before dropout, float32, and
        kept: what dropout kept, 0 or 1; None without dropout.
    """

    rows: Tensor
    weights: list[Tensor]
    softmax: list[Tensor]
    kept: Tensor | None
    keep: float


def _blocks(flat: Tensor, packing: Packing, heads: int) -> list[Tensor]:
    """Views of padded rows [S * h, d] as [texts * h, length, d], one for each block."""
    return [
        flat[block.start * heads : (block.start + block.texts * block.length) * heads].view(
            block.texts * heads, block.length, flat.shape[1]
        )
        for block in packing.blocks
    ]


def _squares(flat: Tensor, packing: Packing, heads: int) -> list[Tensor]:
    """Views of flat scores as [texts * h, length, length], one for each block."""
    sizes = [block.texts * heads * block.length**2 for block in packing.blocks]
    return [
        part.view(-1, block.length, block.length) for part, block in zip(flat.split(sizes), packing.blocks, strict=True)
    ]


def attend(
    qkv: Tensor, packing: Packing, heads: int, scale: float, dropout: StreamDropout | None
) -> tuple[Tensor, Attended | VarlenAttended]:
    """Attention of a packed row: queries, keys and values side by side [T, 3 * H] to contexts [T, H].

    The softmax is in float32 at least. `dropout` drops attention weights (None: nothing is dropped).
    """
    size = qkv.shape[1] // (3 * heads)
    if dropout is None and varlen_attention.is_possible(qkv, size):
        return varlen_attention.attend(qkv, packing, heads, scale)
    rows = packing.rows(heads)
    padded = qkv.view(-1, size).index_select(0, rows.of_slots).view(3, -1, size)
    queries, keys, values = (_blocks(part, packing, heads) for part in padded)
    products = qkv.new_empty(sum(block.texts * heads * block.length**2 for block in packing.blocks))
    for query, key, product in zip(queries, keys, _squares(products, packing, heads), strict=True):
        torch.bmm(query, key.transpose(1, 2), out=product)
    scores = products.float() if products.dtype == torch.bfloat16 else products
    softmax = torch.empty_like(scores)
    softmaxes = _squares(softmax, packing, heads)
    for score, mask, out in zip(_squares(scores, packing, heads), packing.masks, softmaxes, strict=True):
        by_text = score.view(len(mask), heads, *score.shape[1:])
        torch.add(mask, by_text, alpha=scale, out=by_text)
        torch.softmax(score, -1, out=out)
    kept, keep = None, 1.0
    weights = softmax
    if dropout is not None:
        kept, keep = draw_kept(softmax.shape, dropout), 1.0 - dropout.p
        weights = torch.mul(softmax, kept).mul_(1.0 / keep)
    weights = weights.to(qkv.dtype)
    context = torch.empty_like(padded[0])
    for weight, value, out in zip(
        _squares(weights, packing, heads), values, _blocks(context, packing, heads), strict=True
    ):
        torch.bmm(weight, value, out=out)
    attended = Attended(padded, _squares(weights, packing, heads), softmaxes, kept, keep)
    return _tokens_of(context, rows.of_context, packing, heads * size), attended


def _tokens_of(padded: Tensor, rows: Tensor, packing: Packing, width: int) -> Tensor:
    """Padded rows back in the order of tokens, [T + filler, width]; zeros for filler."""
    tokens = padded.new_empty(packing.tokens + packing.filler, width)
    tokens[packing.tokens :].zero_()
    torch.index_select(padded, 0, rows, out=tokens[: packing.tokens].view(-1, padded.shape[1]))
    return tokens


def attend_backward(
    gradient: Tensor, saved: Attended | VarlenAttended, packing: Packing, heads: int, scale: float
) -> Tensor:
    """Gradient of `attend` with respect to queries, keys and values: [T, H] to [T, 3 * H]."""
    if isinstance(saved, VarlenAttended):
        return varlen_attention.attend_backward(gradient, saved, packing)
    size = gradient.shape[1] // heads
    rows = packing.rows(heads)
    # Empty slots get no gradient.
    real = gradient[: packing.tokens].reshape(-1, size)
    context = torch.zeros_like(saved.rows[0]).index_copy_(0, rows.of_context, real)
    contexts = _blocks(context, packing, heads)
    queries, keys, values = (_blocks(part, packing, heads) for part in saved.rows)
    result = torch.empty_like(saved.rows)
    to_queries, to_keys, to_values = (_blocks(part, packing, heads) for part in result)
    to_weights = gradient.new_empty(sum(weight.numel() for weight in saved.weights))
    for k, product in enumerate(_squares(to_weights, packing, heads)):
        torch.bmm(contexts[k], values[k].transpose(1, 2), out=product)
        torch.bmm(saved.weights[k].transpose(1, 2), contexts[k], out=to_values[k])
    to_softmax = to_weights.to(saved.softmax[0].dtype)
    if saved.kept is not None:
        to_softmax.mul_(saved.kept).mul_(1.0 / saved.keep)
    to_scores = torch.empty_like(to_softmax)
    for softmax, at_softmax, out in zip(
        saved.softmax, _squares(to_softmax, packing, heads), _squares(to_scores, packing, heads), strict=True
    ):
        torch.ops.aten._softmax_backward_data(at_softmax, softmax, -1, softmax.dtype, grad_input=out)
    to_products = to_scores.mul_(scale).to(gradient.dtype)
    for k, product in enumerate(_squares(to_products, packing, heads)):
        torch.bmm(product, keys[k], out=to_queries[k])
        torch.bmm(product.transpose(1, 2), queries[k], out=to_keys[k])
    return _tokens_of(result.view(-1, size), rows.of_tokens, packing, 3 * heads * size)


class _Attention(torch.autograd.Function):
    """`attend` for autograd."""

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, packing: Packing, heads: int, scale: float, dropout: StreamDropout | None
    ) -> Tensor:
        context, ctx.saved = attend(qkv, packing, heads, scale, dropout)
        ctx.place = (packing, heads, scale)
        return context

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        return attend_backward(gradients[0], ctx.saved, *ctx.place), None, None, None, None


def active(dropout: Any) -> StreamDropout | None:
    """The dropout, if it drops anything now."""
    return dropout if isinstance(dropout, StreamDropout) and dropout.active else None


def dropout_of_attention(module: torch.nn.Module) -> Any:
    """The dropout of a layer's attention weights, which ALBERT tells from that of its output."""
    return module.attention_dropout if hasattr(module, "attention_dropout") else module.dropout


def packed_attention(
    module: torch.nn.Module,
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
    heads, _tokens, size = query.shape[1:]
    scale = size**-0.5 if scaling is None else scaling
    side_by_side = torch.cat([part[0].transpose(0, 1).flatten(1) for part in (query, key, value)], dim=1)
    with torch.autocast(query.device.type, enabled=False):
        context: Tensor = _Attention.apply(side_by_side, packing, heads, scale, active(dropout_of_attention(module)))
    return context.view(1, -1, heads, size), None


def _no_mask(*_: Any, **__: Any) -> None:
    """Packed attention knows its own boundaries; no mask tensor is built."""
    return None


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, _no_mask)

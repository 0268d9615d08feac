"""Attention over packed sequences by PyTorch's variable-length kernel (Dao et al. 2022), on GPUs that have it.

No padding at all. The kernel cannot drop attention weights from a stream of ours, so it serves evaluation, feature
extraction and training without attention dropout.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from transfer_atlas.models.packing import Packing

# What the kernel is built for: Ampere and later, half precision, heads of whole vectors.
CAPABILITY = (8, 0)
LARGEST_HEAD, HEAD_MULTIPLE = 256, 8


@dataclass
class VarlenAttended:
    """The kernel's own graph, for the backward pass: queries, keys and values [T, 3, h, d], contexts [T, h, d]."""

    qkv: Tensor
    context: Tensor


def is_possible(qkv: Tensor, size: int) -> bool:
    """Whether the kernel takes these queries, keys and values, with heads of so many units."""
    return (
        qkv.is_cuda
        and qkv.dtype in (torch.bfloat16, torch.float16)
        and size % HEAD_MULTIPLE == 0
        and size <= LARGEST_HEAD
        and torch.cuda.get_device_capability(qkv.device) >= CAPABILITY
    )


def attend(qkv: Tensor, packing: Packing, heads: int, scale: float) -> tuple[Tensor, VarlenAttended]:
    """Queries, keys and values side by side [T + filler, 3 * H] to contexts [T + filler, H]; zeros for filler."""
    with torch.enable_grad():
        inputs = qkv.detach()[: packing.tokens].unflatten(1, (3, heads, -1)).requires_grad_()
        query, key, value = inputs.unbind(1)
        context = varlen_attn(
            query,
            key,
            value,
            packing.boundaries,
            packing.boundaries,
            packing.longest,
            packing.longest,
            scale=scale,
            # One split: a text's result does not depend on which others share its batch.
            num_splits=1,
        )
    assert isinstance(context, Tensor)
    contexts = torch.nn.functional.pad(context.detach().flatten(1), (0, 0, 0, packing.filler))
    return contexts, VarlenAttended(inputs, context)


def attend_backward(gradient: Tensor, saved: VarlenAttended, packing: Packing) -> Tensor:
    """Gradient of `attend` with respect to queries, keys and values: [T + filler, H] to [T + filler, 3 * H]."""
    at_context = gradient[: packing.tokens].view_as(saved.context)
    (at_inputs,) = torch.autograd.grad(saved.context, saved.qkv, at_context)
    return torch.nn.functional.pad(at_inputs.flatten(1), (0, 0, 0, packing.filler))

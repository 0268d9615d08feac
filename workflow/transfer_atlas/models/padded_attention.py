"""Attention over padded sequences, as transformers does it, but with dropout from the run's own stream.

Registered with transformers as the attention implementation `padded`. Its own `eager` one draws from the global
generator.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from transfer_atlas.models.packed_attention import dropout_of_attention

PADDED = "padded"


def padded_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Shapes: query, key, value [B, heads, L, d] in; [B, L, heads, d] and the weights [B, heads, L, L] out."""
    scores = torch.matmul(query, key.transpose(2, 3)) * (query.shape[3] ** -0.5 if scaling is None else scaling)
    if attention_mask is not None:
        scores = scores + attention_mask
    # The dropout module of a layer's attention is a `StreamDropout` by now.
    weights = dropout_of_attention(module)(torch.softmax(scores, dim=-1))
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


AttentionInterface.register(PADDED, padded_attention)
AttentionMaskInterface.register(PADDED, eager_mask)

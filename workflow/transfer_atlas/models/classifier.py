"""An encoder with pooling and a head: what fine-tuning trains."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from transfer_atlas.models.encoder import frozen_parts
from transfer_atlas.models.encoding import Encoding
from transfer_atlas.models.packing import PackedBatch, Packing


def pool(states: Tensor, packing: Packing, pooling: str) -> Tensor:
    """One vector for each text, [T, H] -> [B, H], float32 at least: `mean` of its tokens, or its `first` token."""
    states = states.float() if states.dtype == torch.bfloat16 else states
    ends = torch.cumsum(packing.lengths, 0)
    starts = ends - packing.lengths
    if pooling == "first":
        return states[starts]
    position = torch.arange(len(states), device=states.device)
    inside = (position >= starts[:, None]) & (position < ends[:, None])
    # A product with a [B, T] matrix of 1/length: deterministic everywhere, unlike a scatter on CUDA.
    with torch.autocast(states.device.type, enabled=False):
        return (inside.to(states.dtype) / packing.lengths[:, None]) @ states


class Classifier(nn.Module):
    """Encoder, pooling, head: PackedBatch -> scores [B, outputs] (float32).

    Args:
        frozen: Embeddings and so many bottom layers are not trained, and run without dropout; None: all are trained.
    """

    def __init__(
        self, encoder: nn.Module, head: nn.Module, pooling: str, encoding: Encoding, frozen: int | None = None
    ):
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.pooling = pooling
        self.encoding = encoding
        self._frozen: list[nn.Module] = [] if frozen is None else frozen_parts(encoder, frozen)
        self._first = frozen or 0
        for part in self._frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the frozen parts."""
        super().train(mode)
        for part in self._frozen:
            part.train(False)
        return self

    def forward(self, batch: PackedBatch) -> Tensor:
        """Score each text of the batch."""
        states = self.encoding(batch, first=0 if batch.states is None else self._first)[-1]
        pooled = pool(states, batch.packing, self.pooling)
        with torch.autocast(pooled.device.type, enabled=False):
            scores: Tensor = self.head(pooled)
        return scores

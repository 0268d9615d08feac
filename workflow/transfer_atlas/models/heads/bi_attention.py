"""Pairs of texts compared without further parameters (Peters, Ruder & Smith 2019, section 3, for fine-tuning ELMo)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.heads.attention import attend, largest, mean, partners, side_by_side
from transfer_atlas.models.heads.linear import LIKE_BERT, new_linear
from transfer_atlas.models.heads.scalar_mix import ScalarMix
from transfer_atlas.models.sequences import Sequences


class BiAttentionHead(nn.Module):
    """Each text attends to the other, [x; a; x - a; x * a] is pooled, a linear map: `Sequences` of 2B -> [B, outputs].

    x are the states of a text's units and a what attention by dot products takes for each from the other text. Maximum
    and mean over each text's units give 8 H features a text. Only the linear map is trained.
    """

    def __init__(self, features: int, outputs: int, *, layers: int, dropout: float, generator: torch.Generator):
        super().__init__()
        self.mix = ScalarMix(layers)
        self.dropout = StreamDropout(dropout)
        self.output = new_linear(16 * features, outputs, LIKE_BERT, generator)

    def forward(self, sequences: Sequences) -> Tensor:
        """Score each pair."""
        padding = sequences.padding
        values = padding.pad(self.mix(sequences.states))
        taken = attend(values, partners(values), partners(padding.inside))
        enhanced = torch.cat([values, taken, values - taken, values * taken], dim=2)
        pooled = torch.cat([largest(enhanced, padding.inside), mean(enhanced, padding.inside)], dim=1)
        scores: Tensor = self.output(self.dropout(side_by_side(pooled)))
        return scores

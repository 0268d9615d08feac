"""ESIM: enhanced sequential inference model for pairs of texts (Chen et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.heads.attention import attend, largest, mean, partners, side_by_side
from transfer_atlas.models.heads.linear import LIKE_BERT, like_glorot, like_he, new_linear
from transfer_atlas.models.heads.lstm import BiLstm
from transfer_atlas.models.heads.scalar_mix import ScalarMix
from transfer_atlas.models.sequences import Sequences


class Esim(nn.Module):
    """Scores of pairs, `Sequences` of 2B -> [B, outputs]; one output for regression.

    Equations are those of the paper. Both texts go through the same weights, dropout stands before every map and LSTM.
    """

    def __init__(
        self, features: int, outputs: int, *, layers: int, hidden: int, dropout: float, generator: torch.Generator
    ):
        super().__init__()
        self.mix = ScalarMix(layers)
        self.dropout = StreamDropout(dropout)
        self.encoder = BiLstm(features, hidden, generator)
        self.projection = new_linear(8 * hidden, hidden, like_he(8 * hidden), generator)
        self.composition = BiLstm(hidden, hidden, generator)
        self.hidden = new_linear(8 * hidden, hidden, like_glorot(8 * hidden, hidden), generator)
        self.output = new_linear(hidden, outputs, LIKE_BERT, generator)

    def forward(self, sequences: Sequences) -> Tensor:
        """Score each pair."""
        padding = sequences.padding
        states = padding.pad(self.dropout(self.mix(sequences.states)))
        encoded = self.encoder(states, padding)  # eqs. 1, 2
        aligned = attend(encoded, partners(encoded), partners(padding.inside))  # eqs. 11 to 13
        enhanced = torch.cat([encoded, aligned, encoded - aligned, encoded * aligned], dim=2)  # eqs. 14, 15
        # The map that keeps the composition from growing fourfold (section 3.3), on real units only.
        projected = torch.relu(self.projection(self.dropout(padding.unpad(enhanced))))
        composed = self.composition(padding.pad(self.dropout(projected)), padding)  # eqs. 16, 17
        pooled = torch.cat([mean(composed, padding.inside), largest(composed, padding.inside)], dim=1)  # eqs. 18, 19
        hidden = torch.tanh(self.hidden(self.dropout(side_by_side(pooled))))  # eq. 20, then section 3.3
        scores: Tensor = self.output(self.dropout(hidden))
        return scores

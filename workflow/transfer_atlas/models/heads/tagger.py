"""Heads that label every word: from states to emissions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.heads.linear import LIKE_BERT, new_linear
from transfer_atlas.models.heads.lstm import StackedBiLstm
from transfer_atlas.models.heads.scalar_mix import ScalarMix
from transfer_atlas.models.sequences import Sequences


class LinearTagger(nn.Module):
    """Mix of layers, dropout and a linear map of each word's state: `Sequences` -> emissions [T, tags]."""

    def __init__(self, features: int, tags: int, *, layers: int, dropout: float, generator: torch.Generator):
        super().__init__()
        self.mix = ScalarMix(layers)
        self.dropout = StreamDropout(dropout)
        self.output = new_linear(features, tags, LIKE_BERT, generator)

    def forward(self, sequences: Sequences) -> Tensor:
        """Score each word's tags."""
        emissions: Tensor = self.output(self.dropout(self.mix(sequences.states)))
        return emissions


class BiLstmTagger(nn.Module):
    """Mix of layers, a stacked biLSTM and a linear map: `Sequences` -> emissions [T, tags]."""

    def __init__(
        self,
        features: int,
        tags: int,
        *,
        layers: int,
        hidden: int,
        lstm_layers: int,
        dropout: float,
        generator: torch.Generator,
    ):
        super().__init__()
        self.mix = ScalarMix(layers)
        self.lstm = StackedBiLstm(features, hidden, lstm_layers, dropout, generator)
        self.dropout = StreamDropout(dropout)
        self.output = new_linear(2 * hidden, tags, LIKE_BERT, generator)

    def forward(self, sequences: Sequences) -> Tensor:
        """Score each word's tags."""
        padding = sequences.padding
        read = padding.unpad(self.lstm(padding.pad(self.mix(sequences.states)), padding))
        emissions: Tensor = self.output(self.dropout(read))
        return emissions

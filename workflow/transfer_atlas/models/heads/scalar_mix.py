"""One representation from all layers, by learned weights (Peters et al. 2018, eq. 1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.heads.linear import LIKE_BERT, like_he, new_linear


class ScalarMix(nn.Module):
    """gamma * sum_j softmax(w)_j h_j: [L, T, H] -> [T, H]. A single layer is taken as it is, without parameters."""

    def __init__(self, layers: int):
        super().__init__()
        if layers > 1:
            self.mix = nn.Parameter(torch.zeros(layers))
            self.gamma = nn.Parameter(torch.ones(()))
        self.layers = layers

    def forward(self, states: Tensor) -> Tensor:
        """Mix the layers."""
        if self.layers == 1:
            return states[0]
        return torch.tensordot(self.gamma * torch.softmax(self.mix, dim=0), states, dims=1)


class ScalarMixMLP(nn.Module):
    """Learned mix of all layers, then one hidden layer: [B, layers + 1, H] -> [B, outputs].

    Mixing and mean pooling commute, so pooled states of each layer are all it needs.
    """

    def __init__(
        self, hidden_size: int, layers: int, hidden: int, outputs: int, dropout: float, generator: torch.Generator
    ):
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(layers + 1))
        self.gamma = nn.Parameter(torch.ones(()))
        self.dropout = StreamDropout(dropout)
        self.hidden = new_linear(hidden_size, hidden, like_he(hidden_size), generator)
        self.output = new_linear(hidden, outputs, LIKE_BERT, generator)

    def forward(self, states: Tensor) -> Tensor:
        """Map pooled states of all layers [B, layers + 1, H] to scores [B, outputs]."""
        mixed = self.gamma * torch.einsum("l,blh->bh", torch.softmax(self.mix, dim=0), states)
        scores: Tensor = self.output(self.dropout(torch.relu(self.hidden(self.dropout(mixed)))))
        return scores

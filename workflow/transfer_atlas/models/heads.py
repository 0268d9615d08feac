"""Heads: what is trained on top of an encoder's states."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear map with weights from N(0, 0.02), BERT's own initialisation, and zero bias."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # whose own would draw from the global generator
    with torch.no_grad():
        layer.weight.normal_(0.0, 0.02, generator=generator)
        layer.bias.zero_()
    return layer


class LinearHead(nn.Module):
    """Dropout, then a linear map: [B, H] -> [B, outputs] (Devlin et al. 2019, section 4.1)."""

    def __init__(self, hidden_size: int, outputs: int, dropout: float, generator: torch.Generator):
        super().__init__()
        self.dropout = StreamDropout(dropout)
        self.output = _linear(hidden_size, outputs, generator)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map pooled states [B, H] to scores [B, outputs]."""
        scores: Tensor = self.output(self.dropout(pooled))
        return scores


class ScalarMixMLP(nn.Module):
    """Learned mix of all layers, then one hidden layer: [B, layers + 1, H] -> [B, outputs].

    The mix is gamma * sum_j softmax(w)_j h_j (Peters et al. 2018, eq. 1). Mixing and mean pooling commute, so pooled
    states of each layer are all it needs.
    """

    def __init__(
        self, hidden_size: int, layers: int, hidden: int, outputs: int, dropout: float, generator: torch.Generator
    ):
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(layers + 1))
        self.gamma = nn.Parameter(torch.ones(()))
        self.dropout = StreamDropout(dropout)
        self.hidden = nn.utils.skip_init(nn.Linear, hidden_size, hidden)
        with torch.no_grad():
            # He et al. 2015: keeps the variance through the ReLU.
            self.hidden.weight.normal_(0.0, (2.0 / hidden_size) ** 0.5, generator=generator)
            self.hidden.bias.zero_()
        self.output = _linear(hidden, outputs, generator)

    def forward(self, states: Tensor) -> Tensor:
        """Map pooled states of all layers [B, layers + 1, H] to scores [B, outputs]."""
        mixed = self.gamma * torch.einsum("l,blh->bh", torch.softmax(self.mix, dim=0), states)
        scores: Tensor = self.output(self.dropout(torch.relu(self.hidden(self.dropout(mixed)))))
        return scores

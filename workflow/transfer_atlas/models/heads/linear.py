"""Linear maps that draw their weights from a stream of their own, and the smallest head: one such map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout

LIKE_BERT = 0.02
"""Standard deviation of BERT's own initial weights."""


def new_linear(inputs: int, outputs: int, deviation: float, generator: torch.Generator) -> nn.Linear:
    """A linear map with weights from N(0, `deviation`) and zero bias."""
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)  # whose own would draw from the global generator
    with torch.no_grad():
        layer.weight.normal_(0.0, deviation, generator=generator)
        layer.bias.zero_()
    return layer


def like_he(inputs: int) -> float:
    """Deviation that keeps the variance through a map and the ReLU behind it (He et al. 2015)."""
    deviation: float = (2.0 / inputs) ** 0.5
    return deviation


def like_glorot(inputs: int, outputs: int) -> float:
    """Deviation that keeps the variance through a map and a tanh, there and back (Glorot & Bengio 2010)."""
    deviation: float = (2.0 / (inputs + outputs)) ** 0.5
    return deviation


class LinearHead(nn.Module):
    """Dropout, then a linear map: [B, H] -> [B, outputs] (Devlin et al. 2019, section 4.1)."""

    def __init__(self, hidden_size: int, outputs: int, dropout: float, generator: torch.Generator):
        super().__init__()
        self.dropout = StreamDropout(dropout)
        self.output = new_linear(hidden_size, outputs, LIKE_BERT, generator)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map pooled states [B, H] to scores [B, outputs]."""
        scores: Tensor = self.output(self.dropout(pooled))
        return scores

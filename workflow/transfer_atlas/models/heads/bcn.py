"""BCN: the bi-attentive classification network (McCann et al. 2017, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.heads.attention import attend, largest, mean, partners, side_by_side, smallest
from transfer_atlas.models.heads.linear import LIKE_BERT, like_he, new_linear
from transfer_atlas.models.heads.lstm import BiLstm
from transfer_atlas.models.heads.scalar_mix import ScalarMix
from transfer_atlas.models.sequences import Sequences

PIECES = 4
"""Linear maps that a maxout layer takes the largest of, as in AllenNLP's BCN; the paper does not give its number."""


class Maxout(nn.Module):
    """The largest of several linear maps (Goodfellow et al. 2013): [B, inputs] -> [B, outputs]."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator):
        super().__init__()
        self.maps = new_linear(inputs, outputs * PIECES, like_he(inputs), generator)

    def forward(self, values: Tensor) -> Tensor:
        """Map the values."""
        return self.maps(values).unflatten(1, (-1, PIECES)).amax(dim=2)


class Bcn(nn.Module):
    """Scores of examples of one sequence, which attends to itself, or two, which attend to each other.

    `Sequences` -> [B, outputs]. A map with ReLU, encoder biLSTM, attention by dot products, integrator biLSTM over
    [x; x - c; x * c] with c the context that attention gives, four poolings over the units (largest, mean, smallest,
    self-attentive), two maxout layers that narrow by four and by two, and a linear map. The texts of a pair share all
    weights up to the pooling. Dropout stands where the paper has batch normalisation, so that no example's score
    depends on others.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        layers: int,
        hidden: int,
        dropout: float,
        sequences: int,
        generator: torch.Generator,
    ):
        super().__init__()
        self.pairs = sequences == 2
        self.mix = ScalarMix(layers)
        self.dropout = StreamDropout(dropout)
        self.entry = new_linear(features, hidden, like_he(features), generator)
        self.encoder = BiLstm(hidden, hidden, generator)
        self.integrator = BiLstm(6 * hidden, hidden, generator)
        # The paper adds a bias, which the softmax over the units takes out again.
        self.attention = nn.Parameter(torch.empty(2 * hidden).normal_(0.0, LIKE_BERT, generator=generator))
        self.maxout = nn.ModuleList(
            [Maxout(8 * hidden * sequences, 2 * hidden, generator), Maxout(2 * hidden, hidden, generator)]
        )
        self.output = new_linear(hidden, outputs, LIKE_BERT, generator)

    def _self_attentive(self, values: Tensor, inside: Tensor) -> Tensor:
        """Mean of each sequence's units with learned weights, [S, N, 2 hidden] -> [S, 2 hidden]."""
        energies = (values @ self.attention).masked_fill(~inside, float("-inf"))
        return torch.bmm(torch.softmax(energies, dim=1)[:, None], values).squeeze(1)

    def forward(self, sequences: Sequences) -> Tensor:
        """Score each example."""
        padding = sequences.padding
        inside = padding.inside
        entered = torch.relu(self.entry(self.dropout(self.mix(sequences.states))))
        encoded = self.encoder(padding.pad(self.dropout(entered)), padding)
        if self.pairs:
            context = attend(encoded, partners(encoded), partners(inside))
        else:
            context = attend(encoded, encoded, inside)
        joined = self.dropout(torch.cat([encoded, encoded - context, encoded * context], dim=2))
        integrated = self.integrator(joined, padding)
        pooled = torch.cat(
            [
                largest(integrated, inside),
                mean(integrated, inside),
                smallest(integrated, inside),
                self._self_attentive(integrated, inside),
            ],
            dim=1,
        )
        values = side_by_side(pooled) if self.pairs else pooled
        for layer in self.maxout:
            values = layer(self.dropout(values))
        scores: Tensor = self.output(self.dropout(values))
        return scores

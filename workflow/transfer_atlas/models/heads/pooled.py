"""The usual head on sequences: one vector of each text or marked span, then a linear map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.heads.linear import LIKE_BERT, like_he, new_linear
from transfer_atlas.models.heads.scalar_mix import ScalarMix
from transfer_atlas.models.pooler import Pooler
from transfer_atlas.models.sequences import Sequences, starts_of
from transfer_atlas.settings import Pooling


def pool(states: Tensor, starts: Tensor, ends: Tensor, pooling: Pooling) -> Tensor:
    """One vector of each of N stretches of neighbouring units: [T, H] -> [N, H].

    Args:
        states: [T, H].
        starts, ends: [N] int64 on the CPU, first unit of each stretch and the one after its last; none is empty.
        pooling: The `mean` of the units, the `first` one, which a `pooler` reads too, or the largest value (`max`) of
            each dimension. For `cls` the only unit is the classification token.

    Raises:
        ValueError: For `cls` a stretch has several units.
    """
    if pooling == "cls" and not bool((ends - starts == 1).all()):
        raise ValueError("pooling 'cls' needs classification tokens as the only units")
    if pooling in ("first", "pooler", "cls"):
        return states[starts.to(states.device)]
    if pooling == "mean":
        unit = torch.arange(len(states))
        inside = (unit >= starts[:, None]) & (unit < ends[:, None])
        # A product with a [N, T] matrix of 1/length: deterministic everywhere, unlike a scatter on CUDA.
        return (inside / (ends - starts)[:, None]).to(states.device, states.dtype) @ states
    units = starts[:, None] + torch.arange(int((ends - starts).max()))
    padded = states[torch.minimum(units, ends[:, None] - 1).to(states.device)]
    # Slots behind a stretch's end hold its last unit again; masked, so that they take no part of its gradient.
    return padded.masked_fill((units >= ends[:, None]).to(states.device)[:, :, None], float("-inf")).amax(dim=1)


class PooledHead(nn.Module):
    """Mix of layers, pooling, dropout and a linear map, perhaps with one hidden layer: `Sequences` -> [B, outputs].

    What the map reads: the pooled text; [u; v; |u - v|; u * v] of texts encoded one by one; the pooled span, and
    [u; v; u * v] where an example may mark two (zeros for u's missing partner). Without hidden layer and for a single
    text the parameters are `LinearHead`'s, in name, order of draws and bits.

    Args:
        hidden: Width of the hidden layer (ReLU); None for none.
        sequences: Sequences of an example: 1 or 2.
        spans: Marked spans of an example: 0, 1 or 2.
        pooler: For `pooling: pooler`, what maps the first units' states; trained along.
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        layers: int,
        hidden: int | None,
        dropout: float,
        pooling: Pooling,
        sequences: int,
        spans: int,
        generator: torch.Generator,
        pooler: Pooler | None = None,
    ):
        super().__init__()
        if spans and sequences > 1:
            raise ValueError("spans are marked in one text, not in pairs of texts")
        if (pooling == "pooler") != (pooler is not None) or (pooler is not None and (spans or sequences > 1)):
            raise ValueError("pooling 'pooler' needs a pooler, and one text or jointly encoded pair")
        self.pooling: Pooling = pooling
        self.pooler = pooler
        self.sequences, self.spans = sequences, spans
        self.mix = ScalarMix(layers)
        self.dropout = StreamDropout(dropout)
        read = features * (4 if sequences == 2 else 3 if spans == 2 else 1)
        self.hidden = None if hidden is None else new_linear(read, hidden, like_he(read), generator)
        self.output = new_linear(read if hidden is None else hidden, outputs, LIKE_BERT, generator)

    def _read(self, sequences: Sequences) -> Tensor:
        """[B, features read]."""
        states = self.mix(sequences.states)
        starts = starts_of(sequences.lengths)
        if not self.spans:
            pooled = pool(states, starts, starts + sequences.lengths, self.pooling)
            if self.pooler is not None:
                pooled = self.pooler(pooled)
            if self.sequences == 1:
                return pooled
            first, second = pooled[0::2], pooled[1::2]
            return torch.cat([first, second, (first - second).abs(), first * second], dim=1)
        assert sequences.spans is not None, "this head needs spans"
        marked = sequences.spans + starts[:, None, None]
        first = pool(states, marked[:, 0, 0], marked[:, 0, 1], self.pooling)
        if self.spans == 1:
            return first
        there = sequences.spans[:, 1, 0] >= 0
        # Those without a second span pool the first again, which is then taken out.
        seconds = torch.where(there[:, None], marked[:, 1], marked[:, 0])
        second = pool(states, seconds[:, 0], seconds[:, 1], self.pooling)
        second = second * there.to(states.device)[:, None]
        return torch.cat([first, second, first * second], dim=1)

    def forward(self, sequences: Sequences) -> Tensor:
        """Score each example."""
        read = self.dropout(self._read(sequences))
        if self.hidden is not None:
            read = self.dropout(torch.relu(self.hidden(read)))
        scores: Tensor = self.output(read)
        return scores

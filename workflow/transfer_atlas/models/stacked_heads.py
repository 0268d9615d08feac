"""R heads of one shape as one stack: their maps are batched matrix products, each head's numbers are its own.

Parameters are [R, ...]. Activations are [R, features, B], so that a weight's gradient is a plain product. A head's
numbers are the same bits wherever it lies in a stack and whatever the others are, because

- every operation is a product, a sum or a function within one head, in float32: products in bfloat16 are blocked by
  the size of the stack, and one product for all heads that read the same batch by their number;
- features and batches are filled up to whole vectors of the processor (`LANE`), with zeros that stay zero and with
  examples that count for nothing. So no head's values begin or end within one, where kernels round otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import keep_mask
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.scalar_mix import ScalarMixMLP

LANE = 16
"""Numbers in the longest vector (512 bits) of float32."""


def lanes(width: int) -> int:
    """`width` filled up to whole vectors."""
    return -(-width // LANE) * LANE


def _stacked(tensors: Sequence[Tensor], *shape: int) -> nn.Parameter:
    """One parameter [R, *shape] of R tensors that are no longer than `shape`; the rest is zero."""
    whole = torch.zeros(len(tensors), *shape)
    for place, tensor in zip(whole, tensors, strict=True):
        place[tuple(slice(length) for length in tensor.shape)] = tensor.detach()
    return nn.Parameter(whole)


class StackedDropout(nn.Module):
    """Dropout of R heads, each with its own probability and its own random stream.

    Heads of the same seed and probability draw the same mask from equal streams, so it is drawn once for all of them.
    """

    def __init__(self, probabilities: Sequence[float]):
        super().__init__()
        self.probabilities = list(probabilities)
        self.generators: list[torch.Generator] = []
        self._stream_probabilities: list[float] = []
        self._stream_of_head = torch.empty(0, dtype=torch.int64)

    def give_streams(self, streams: Sequence[int], device: torch.device) -> list[torch.Generator]:
        """Start the heads' streams with these seeds; the generators, in a fixed order."""
        pairs = list(zip(streams, self.probabilities, strict=True))
        distinct = list(dict.fromkeys(pairs))
        self.generators = [torch.Generator(device).manual_seed(seed) for seed, _ in distinct]
        self._stream_probabilities = [probability for _, probability in distinct]
        self._stream_of_head = torch.tensor([distinct.index(pair) for pair in pairs], device=device)
        return self.generators

    def mask(self, batch: int, size: int) -> Tensor | None:
        """What to multiply `size` features of each example with, 0 or 1 / (1 - p); None where nothing drops.

        [R, lanes(batch), lanes(size)]. What was filled up has no mask of its own: there it is 0.
        """
        if not self.training or not any(self.probabilities):
            return None
        if not self.generators:
            raise RuntimeError("dropout has no random streams: call `give_streams` before training")
        masks = torch.zeros(len(self.generators), lanes(batch), lanes(size), device=self.generators[0].device)
        for mask, p, generator in zip(masks, self._stream_probabilities, self.generators, strict=True):
            mask[:batch, :size] = keep_mask(torch.Size((batch, size)), p, generator) if p > 0.0 else 1.0
            mask.mul_(1.0 / (1.0 - p))
        return masks if len(masks) == len(self.probabilities) else masks.index_select(0, self._stream_of_head)


class StackedMap(nn.Module):
    """R linear maps: [R, inputs, B] -> [R, outputs, B], widths filled up to whole vectors but for the last outputs."""

    def __init__(self, maps: Sequence[nn.Linear], outputs: int):
        super().__init__()
        self.outputs = outputs
        self.weight = _stacked([map_.weight for map_ in maps], outputs, lanes(maps[0].in_features))
        # Filled up as well: the optimiser must not meet a part of a vector either.
        self.bias = _stacked([map_.bias for map_ in maps], lanes(outputs))

    def forward(self, values: Tensor) -> Tensor:
        """Map each head's values with its own weights."""
        return torch.baddbmm(self.bias[:, : self.outputs, None], self.weight, values)


class StackedLinear(nn.Module):
    """R linear heads (`LinearHead`)."""

    layers = None

    def __init__(self, heads: Sequence[LinearHead]):
        super().__init__()
        self.features = heads[0].output.in_features
        self.dropout = StackedDropout([head.dropout.p for head in heads])
        self.output = StackedMap([head.output for head in heads], heads[0].output.out_features)

    def forward(self, states: Tensor, batch: int) -> Tensor:
        """Map pooled states of one layer [R, lanes(batch), H] to scores [R, outputs, batch]; drops them in place."""
        mask = self.dropout.mask(batch, self.features)
        dropped = states if mask is None else states.mul_(mask)
        scores: Tensor = self.output(dropped.transpose(1, 2))
        return scores[:, :, :batch]


class StackedScalarMixMLP(nn.Module):
    """R mixes of all layers with one hidden layer each (`ScalarMixMLP`)."""

    def __init__(self, heads: Sequence[ScalarMixMLP]):
        super().__init__()
        first = heads[0]
        self.layers = len(first.mix)
        self.features, self.width = first.hidden.in_features, first.hidden.out_features
        self.mix = _stacked([head.mix for head in heads], lanes(self.layers))
        self.gamma = _stacked([head.gamma[None] for head in heads], LANE)
        self.dropout = StackedDropout([head.dropout.p for head in heads])
        self.hidden = StackedMap([head.hidden for head in heads], lanes(self.width))
        self.output = StackedMap([head.output for head in heads], first.output.out_features)

    def forward(self, states: Tensor, batch: int) -> Tensor:
        """Map pooled states of all layers [R, layers + 1, lanes(batch), H] to scores [R, outputs, batch]."""
        heads, layers, examples, features = states.shape
        weights = self.gamma[:, :1] * torch.softmax(self.mix[:, :layers], dim=1)
        mixed = torch.bmm(weights[:, None], states.view(heads, layers, -1)).view(heads, examples, features)
        mask = self.dropout.mask(batch, self.features)
        dropped = mixed if mask is None else mixed * mask
        hidden = torch.relu(self.hidden(dropped.transpose(1, 2)))
        mask = self.dropout.mask(batch, self.width)
        dropped = hidden if mask is None else hidden * mask.transpose(1, 2)
        scores: Tensor = self.output(dropped)
        return scores[:, :, :batch]


StackedHeads = StackedLinear | StackedScalarMixMLP


def stack_heads(heads: Sequence[LinearHead | ScalarMixMLP]) -> StackedHeads:
    """The stack of heads of one kind and shape; their weights are copied."""
    linear = [head for head in heads if isinstance(head, LinearHead)]
    return StackedLinear(linear) if linear else StackedScalarMixMLP([h for h in heads if isinstance(h, ScalarMixMLP)])

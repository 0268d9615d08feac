"""Pooled representations as examples of stacked heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.models.stacked_heads import lanes


def rows_of(states: np.ndarray) -> Tensor:
    """States [N, layers + 1, H] as rows [N * (layers + 1), H]: layer j of example i is row i * (layers + 1) + j.

    Nothing is copied, so a memory-mapped file is read where a row is used; but H is filled up to whole vectors.
    """
    rows = torch.from_numpy(np.require(states, np.float32, ["C", "W"])).view(-1, states.shape[2])
    missing = lanes(rows.shape[1]) - rows.shape[1]
    return torch.nn.functional.pad(rows, (0, missing)) if missing else rows


@dataclass(frozen=True)
class Source:
    """Rows of states that neighbouring heads of a stack read.

    Attributes:
        heads: How many heads.
        rows: [M, H] float32.
    """

    heads: int
    rows: Tensor


@dataclass(frozen=True)
class StackedExamples:
    """The examples of R heads that train in lockstep; each head has its own choice of examples and layer.

    Attributes:
        sources: What the heads read, in their order.
        first: [R, n] the row of each example; with `layers`, of its embeddings.
        layers: How many successive rows of an example are read: those of all layers, or None for the first row alone.
    """

    sources: Sequence[Source]
    first: Tensor
    layers: int | None
    _batches: dict[torch.Size, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return self.first.shape[1]

    def batch(self, examples: Tensor) -> Tensor:
        """States of these examples of each head ([R, B]): [R, lanes(B), H], or [R, layers + 1, lanes(B), H].

        B is filled up with first examples. The tensor is the caller's until the next call, which writes into it again:
        new memory for each batch would cost as much as reading it.
        """
        missing = lanes(examples.shape[1]) - examples.shape[1]
        rows = self.first.gather(1, torch.nn.functional.pad(examples, (0, missing)))
        if self.layers is not None:
            rows = rows[:, None] + torch.arange(self.layers, device=rows.device)[:, None]
        width = self.sources[0].rows.shape[1]
        if (states := self._batches.get(rows.shape)) is None:
            states = self._batches[rows.shape] = torch.empty(*rows.shape, width, device=rows.device)
        begin = 0
        for source in self.sources:
            end = begin + source.heads
            torch.index_select(source.rows, 0, rows[begin:end].flatten(), out=states[begin:end].view(-1, width))
            begin = end
        return states

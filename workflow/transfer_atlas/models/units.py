"""From the states of encoded tokens to the sequences of units that a head reads: tokens, or words of several pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from transfer_atlas.models.sequences import Sequences


@dataclass(frozen=True)
class Units:
    """The units of a batch of T encoded tokens.

    Attributes:
        lengths: [S] units of each sequence, on the CPU.
        tokens: [U, m] tokens of each unit, -1 where it has fewer than m; None: every token is a unit.
        spans: [S, 2, 2] marked spans of units, on the CPU, where the task has any.
    """

    lengths: Tensor
    tokens: Tensor | None = None
    spans: Tensor | None = None

    def of_states(self, states: Tensor) -> Tensor:
        """States of the tokens [T, H] to states of the units [U, H]: the mean of each unit's tokens."""
        if self.tokens is None:
            return states
        if self.tokens.shape[1] == 1:
            return states[self.tokens[:, 0]]
        inside = (self.tokens >= 0).to(states.dtype)[:, :, None]
        # What a unit lacks reads token 0, with weight 0.
        return (states[self.tokens.clamp(min=0)] * inside).sum(1) / inside.sum(1)

    def read(self, layers: Sequence[Tensor]) -> Sequences:
        """Sequences of the units' states, float32 at least, from the states [T, H] of each layer."""
        states = torch.stack([self.of_states(_at_least_float32(layer)) for layer in layers])
        return Sequences(states, self.lengths, self.spans)


def _at_least_float32(states: Tensor) -> Tensor:
    return states.float() if states.dtype == torch.bfloat16 else states


@dataclass(frozen=True)
class UnitBatch:
    """A batch for encoder and head: what the encoder reads (`PackedBatch`, or `Words` of ELMo), and its units."""

    inputs: Any
    units: Units

"""Pooled representations as examples of a head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class FeatureExamples:
    """Pooled representations as examples of a head.

    Attributes:
        states: [N, H], or [N, layers + 1, H] for a head that reads all layers; float32.
        targets: [N].
        lengths: [N] tokens that were encoded for each example.
    """

    states: Tensor
    targets: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.states)

    def sizes(self) -> Tensor:
        """[N] tokens of each example."""
        return self.lengths

    def batch(self, rows: Tensor, device: torch.device) -> Tensor:
        """States of these rows."""
        return self.states[rows].to(device)

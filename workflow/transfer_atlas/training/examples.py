"""Examples as the loop sees them: something that makes a batch from row numbers, and targets."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Examples(Protocol):
    """What the loop needs of a set of examples."""

    @property
    def targets(self) -> Tensor:
        """[N] class indices (int64) or scores (float32)."""
        ...

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor, device: torch.device) -> Any:
        """The model's input for these rows ([B], int64)."""
        ...

    def sizes(self) -> Tensor:
        """[N] tokens of each example."""
        ...

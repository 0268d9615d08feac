"""Examples as the loop sees them: something that makes a batch, and its targets, from row numbers."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Examples(Protocol):
    """What the loop needs of a set of N examples.

    An example is a row; a row has one unit that is predicted (a text) or several (the words of a sentence).
    """

    def __len__(self) -> int: ...

    def batch(self, rows: Tensor, device: torch.device) -> Any:
        """The model's input for these rows ([B], int64)."""
        ...

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        """Class indices (int64) or scores (float32) of all units of these rows, row after row."""
        ...

    def units(self, rows: Tensor) -> Tensor:
        """[B] units of each of these rows, int64."""
        ...

    def sizes(self) -> Tensor:
        """[N] tokens of each example."""
        ...

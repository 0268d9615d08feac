"""What training one run gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transfer_atlas.training.loop import Fitted, on_cpu


@dataclass(frozen=True)
class Scored:
    """Predictions of one evaluation split: ids, [N, outputs] scores and [N] labels."""

    ids: list[str]
    outputs: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Trained:
    """What training one run gave."""

    fitted: Fitted
    n_train: int
    truncated: int
    splits: dict[str, Scored]
    device: torch.device
    precision: str
    weights: dict[str, Tensor] | None = None
    left_out: int = 0
    """Training rows that were removed because they hold a text of another task's evaluation splits."""


def cpu_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's state as contiguous tensors on the CPU."""
    return on_cpu(model.state_dict())

"""Targets: how many outputs a task needs, and scores brought to a scale that training can reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


def outputs_of(task_type: str, classes: int) -> int:
    """Outputs of the head: one for each class, or one for a score."""
    return 1 if task_type == "pair_regression" else classes


def targets_of(labels: np.ndarray) -> Tensor:
    """Labels as targets of a loss, [N]: int64 classes or float32 scores."""
    return torch.from_numpy(labels.astype(np.int64 if labels.dtype.kind == "i" else np.float32))


@dataclass(frozen=True)
class Scaling:
    """Standardises regression targets by the training subset, so that a new head starts near the mean."""

    mean: float
    deviation: float

    @staticmethod
    def of(targets: Tensor) -> Scaling | None:
        """Scaling for these training targets ([N]); None for classes, which need none."""
        if targets.dtype == torch.int64:
            return None
        deviation = float(targets.double().std(correction=0))
        return Scaling(float(targets.double().mean()), deviation if deviation > 0 else 1.0)


def scaled(targets: Tensor, scaling: Scaling | None) -> Tensor:
    """Targets on the scale of training."""
    return targets if scaling is None else (targets - scaling.mean) / scaling.deviation


def unscaled(outputs: np.ndarray, scaling: Scaling | None) -> np.ndarray:
    """Predictions on the original scale."""
    return outputs if scaling is None else outputs * np.float32(scaling.deviation) + np.float32(scaling.mean)

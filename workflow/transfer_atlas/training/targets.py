"""Targets: how many outputs a task needs, and scores brought to a scale that training can reach."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.training.examples import FeatureExamples, TokenisedExamples

E = TypeVar("E", TokenisedExamples, FeatureExamples)


def outputs_of(task_type: str, classes: int) -> int:
    """Outputs of the head: one for each class, or one for a score."""
    return 1 if task_type == "pair_regression" else classes


@dataclass(frozen=True)
class Scaling:
    """Standardises regression targets by the training subset, so that a new head starts near the mean.

    For classes it does nothing.
    """

    mean: float
    deviation: float

    @staticmethod
    def of(targets: Tensor) -> Scaling:
        """Scaling for these training targets ([N])."""
        if targets.dtype == torch.int64:
            return Scaling(0.0, 1.0)
        deviation = float(targets.double().std(correction=0))
        return Scaling(float(targets.double().mean()), deviation if deviation > 0 else 1.0)

    def apply(self, examples: E) -> E:
        """The same examples with scaled targets."""
        if examples.targets.dtype == torch.int64:
            return examples
        return replace(examples, targets=(examples.targets - self.mean) / self.deviation)

    def undo(self, outputs: np.ndarray) -> np.ndarray:
        """Predictions on the original scale."""
        return outputs * np.float32(self.deviation) + np.float32(self.mean) if self != Scaling(0.0, 1.0) else outputs

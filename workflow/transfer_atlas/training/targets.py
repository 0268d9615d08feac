"""Targets: how many outputs a task needs, and scores brought to a scale that training can reach."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.models.sequences import rows_of_parts, starts_of


def outputs_of(task_type: str, classes: int) -> int:
    """Outputs of the head: one for each class, or one for a score."""
    return 1 if task_type == "pair_regression" else classes


def targets_of(labels: np.ndarray) -> Tensor:
    """Labels as targets of a loss, [N]: int64 classes or float32 scores."""
    return torch.from_numpy(labels.astype(np.int64 if labels.dtype.kind == "i" else np.float32))


@dataclass(frozen=True)
class Targets:
    """Targets of N examples.

    Attributes:
        values: [N] classes or scores; in labelling those of every word, in the order of the examples.
        labelled: [N] words of each example, in labelling; else None.
    """

    values: Tensor
    labelled: Tensor | None = None

    @cached_property
    def _starts(self) -> Tensor:
        """[N] where the words of each example begin."""
        assert self.labelled is not None
        return starts_of(self.labelled)

    def units(self, rows: Tensor) -> Tensor:
        """[B] targets that each of these examples has."""
        return torch.ones_like(rows) if self.labelled is None else self.labelled[rows]

    def of(self, rows: Tensor) -> Tensor:
        """Targets of these examples, one after the other."""
        if self.labelled is None:
            return self.values[rows]
        return self.values[rows_of_parts(self._starts[rows], self.labelled[rows])]

    def take(self, rows: Tensor) -> Targets:
        """Only those of these examples, in this order."""
        return Targets(self.of(rows), None if self.labelled is None else self.labelled[rows])


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


def scaled(values: Tensor, scaling: Scaling | None) -> Tensor:
    """Targets on the scale of training."""
    return values if scaling is None else (values - scaling.mean) / scaling.deviation


def unscaled(outputs: np.ndarray, scaling: Scaling | None) -> np.ndarray:
    """Predictions on the original scale."""
    return outputs if scaling is None else outputs * np.float32(scaling.deviation) + np.float32(scaling.mean)

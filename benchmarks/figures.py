"""Figures: what a benchmark found, with its interval, beside its target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from transfer_atlas.analysis.intervals import CONFIDENCE, Difference, Estimate


@dataclass(frozen=True)
class Figure:
    """One number.

    Attributes:
        n: Measurements behind it (of a ratio, the fewer of its two sides).
        low, high: 95 % interval; None where there is one measurement only.
        target, at_least: What is aimed at, and whether more (True) or less (False) is better; None for no target.
            `must_hold` is another kind of target: the interval must contain it.
    """

    name: str
    value: float
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    target: float | None = None
    at_least: bool | None = None
    must_hold: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one, or without the interval that it speaks of."""
        if self.must_hold is not None:
            return None if self.low is None or self.high is None else self.low <= self.must_hold <= self.high
        if self.target is None:
            return None
        return self.value >= self.target if self.at_least else self.value <= self.target

    def as_dict(self) -> dict[str, Any]:
        """For the record."""
        return {**asdict(self), "met": self.met}


def of(estimate: Estimate | Difference, name: str, unit: str, **target: Any) -> Figure:
    """An estimate as a figure."""
    return Figure(name, estimate.mean, unit, estimate.n, _known(estimate.low), _known(estimate.high), **target)


def ratio(above: Sequence[float], below: Sequence[float]) -> Estimate:
    """Ratio of two geometric means, with Welch's t interval on logarithms; no interval where a side has one value."""
    tops, bottoms = np.log(np.asarray(above)), np.log(np.asarray(below))
    mean, n = float(np.mean(tops) - np.mean(bottoms)), min(len(tops), len(bottoms))
    if n < 2:
        return Estimate(math.exp(mean), math.nan, n, math.nan, math.nan)
    parts = [float(np.var(side, ddof=1)) / len(side) for side in (tops, bottoms)]
    variance = sum(parts)
    if variance == 0:
        return Estimate(math.exp(mean), 0.0, n, math.exp(mean), math.exp(mean))
    freedom = variance**2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (tops, bottoms), strict=True) if part
    )
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * math.sqrt(variance)
    return Estimate(math.exp(mean), math.sqrt(variance), n, math.exp(mean - half), math.exp(mean + half))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value

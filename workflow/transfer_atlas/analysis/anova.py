"""Whether groups differ by more than their values scatter: one-way analysis of variance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from transfer_atlas.analysis.constant_answers import ROUNDING
from transfer_atlas.analysis.intervals import CONFIDENCE, NAN, Estimate


@dataclass(frozen=True)
class OneWay:
    """The F test that all groups have one mean, and the variance between groups over that within, over `n` groups.

    The ratio is of the variances of the random effects model (group plus noise), its interval the exact one of the F
    distribution, for normal values of equal variance within groups (Searle, Casella & McCulloch 1992, "Variance
    Components", section 3.5). The estimate and the interval's ends are cut at 0.
    """

    ratio: Estimate
    f: float
    p: float


def one_way(groups: Sequence[Sequence[float]]) -> OneWay:
    """The analysis of groups of equally many values; undefined below two groups of two, and without scatter within.

    Args:
        groups: values by group, shape (groups, values of each).
    """
    values = np.asarray(groups, dtype=np.float64)
    n = len(values)
    undefined = OneWay(Estimate(NAN, NAN, n, NAN, NAN), NAN, NAN)
    if n < 2 or values.shape[1] < 2:
        return undefined
    size = values.shape[1]
    within = float(values.var(axis=1, ddof=1).mean())
    # Not above: an undefined value is no scatter.
    if not within > ROUNDING**2:
        return undefined
    freedom = n - 1, n * (size - 1)
    f = size * float(values.mean(axis=1).var(ddof=1)) / within
    tail = (1 - CONFIDENCE) / 2
    quantiles = (1.0, *(float(stats.f.ppf(share, *freedom)) for share in (1 - tail, tail)))
    ratio, low, high = (max(0.0, (f / quantile - 1) / size) for quantile in quantiles)
    return OneWay(Estimate(ratio, NAN, n, low, high), f, float(stats.f.sf(f, *freedom)))

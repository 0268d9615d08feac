"""How much wider one side scatters over seeds than another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from transfer_atlas.analysis.constant_answers import ROUNDING
from transfer_atlas.analysis.intervals import CONFIDENCE, NAN, Estimate

Samples = Sequence[Sequence[float]]
"""Values over seeds, one sequence a setting."""


def log_ratio(left: Samples, right: Samples) -> Estimate:
    """Natural logarithm of left's standard deviation over right's, each pooled within its settings.

    The interval is that of the F distribution for two independent normal samples; there is no `sd`. `n` is the smallest
    number of values that a setting has. NaN where a side does not scatter at all or a value is undefined.
    """
    n = min(min(map(len, side), default=0) for side in (left, right))
    if n < 2:
        return Estimate(NAN, NAN, n, NAN, NAN)
    variances = [_pooled_variance(side) for side in (left, right)]
    if not all(variance > ROUNDING**2 for variance in variances):
        return Estimate(NAN, NAN, n, NAN, NAN)
    mean = math.log(variances[0] / variances[1]) / 2
    freedom = [sum(len(values) - 1 for values in side) for side in (left, right)]
    tail = (1 - CONFIDENCE) / 2
    low, high = (mean - math.log(float(stats.f.ppf(share, *freedom))) / 2 for share in (1 - tail, tail))
    return Estimate(mean, NAN, n, low, high)


def _pooled_variance(side: Samples) -> float:
    squares = sum(len(values) * float(np.var(values)) for values in side)
    return squares / sum(len(values) - 1 for values in side)

"""How much wider one side scatters over seeds than another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from scipy import stats

from transfer_atlas.analysis.constant_answers import ROUNDING
from transfer_atlas.analysis.intervals import CONFIDENCE, NAN, Estimate

Samples = Sequence[Sequence[float]]
"""Values over seeds, one sequence a setting."""


def log_ratio(left: Samples, right: Samples) -> Estimate:
    """Natural logarithm of left's standard deviation over right's, each the mean over its settings.

    The interval is that of the F distribution for two independent normal samples; there is no `sd`. The settings of a
    side (depths, say) share their seeds and may scatter together. So each side has the degrees of freedom of one
    setting, n - 1: right where all settings scatter as one, too wide an interval where they do not. `n` is the smallest
    number of values that a setting has. NaN where a setting does not scatter at all or a value is undefined.
    """
    sizes = [min(map(len, side), default=0) for side in (left, right)]
    n = min(sizes)
    if n < 2 or not all(_sd(values) > ROUNDING for side in (left, right) for values in side):
        return Estimate(NAN, NAN, n, NAN, NAN)
    logs = [fmean(math.log(_sd(values)) for values in side) for side in (left, right)]
    mean = logs[0] - logs[1]
    tail = (1 - CONFIDENCE) / 2
    quantiles = (float(stats.f.ppf(share, sizes[0] - 1, sizes[1] - 1)) for share in (1 - tail, tail))
    low, high = (mean - math.log(quantile) / 2 for quantile in quantiles)
    return Estimate(mean, NAN, n, low, high)


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))

"""Means over seeds, paired differences, and how sure they are.

Seeds are the unit of repetition: every interval is a 95 % interval of Student's t over seeds. Undefined values (NaN)
are never left out: a mean over an undefined value is undefined.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05
NAN = float("nan")
# A correlation this close to 1 is 1 but for rounding.
PERFECT = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` values with its sample deviation (ddof 1) and t interval; NaN where there is none."""

    mean: float
    sd: float
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """Left minus right over the `n` seeds that both sides have, with the two-sided p of the paired t test.

    `n_left` and `n_right` are the seeds of each side: where they differ from `n`, some seeds had no partner.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float
    p: float
    n_left: int
    n_right: int


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, deviation and interval of `values`, one a seed. One value has no deviation and no interval."""
    n = len(values)
    if n == 0:
        return Estimate(NAN, NAN, 0, NAN, NAN)
    mean = float(np.mean(values))
    if n == 1:
        return Estimate(mean, NAN, 1, NAN, NAN)
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * sd / math.sqrt(n)
    return Estimate(mean, sd, n, mean - half, mean + half)


def differences(left: Mapping[int, float], right: Mapping[int, float]) -> dict[int, float]:
    """`left - right` at each seed that both sides have, in order."""
    return {seed: left[seed] - right[seed] for seed in sorted(left.keys() & right.keys())}


def paired(left: Mapping[int, float], right: Mapping[int, float]) -> Difference:
    """Difference `left - right` of two sides that map seed to score, paired by seed."""
    mean = estimate(list(differences(left, right).values()))
    p = two_sided_p(mean)
    return Difference(mean.mean, mean.sd, mean.n, mean.low, mean.high, p, len(left), len(right))


def correlation_interval(r: float, n: int) -> tuple[float, float]:
    """The 95 % interval of Pearson's r over n pairs (Fisher's z); NaN below four pairs, and at 1 and -1."""
    return _fisher_interval(r, n, 1.0)


def rank_correlation_interval(rho: float, n: int) -> tuple[float, float]:
    """The 95 % interval of Spearman's rho over n pairs; NaN below four pairs, and at 1 and -1.

    Fisher's z with the standard error sqrt((1 + rho^2 / 2) / (n - 3)): Bonett & Wright 2000, "Sample size requirements
    for estimating Pearson, Kendall and Spearman correlations", Psychometrika 65.
    """
    return _fisher_interval(rho, n, 1 + rho**2 / 2)


def _fisher_interval(r: float, n: int, variance: float) -> tuple[float, float]:
    """The interval of a correlation whose Fisher z has this variance times 1 / (n - 3).

    NaN at 1 and -1, where z is infinite: a few pairs often agree by chance, and that is not certainty.
    """
    if n < 4 or math.isnan(r) or 1 - abs(r) < PERFECT:
        return NAN, NAN
    half = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) * math.sqrt(variance / (n - 3))
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def two_sided_p(difference: Estimate) -> float:
    """The p of the t test that a mean is 0; NaN without a deviation."""
    if math.isnan(difference.sd):
        return NAN
    if difference.sd == 0:
        # The t statistic's limit: the same difference at every seed, or no difference at any.
        return 1.0 if difference.mean == 0 else 0.0
    t = difference.mean / (difference.sd / math.sqrt(difference.n))
    return float(2 * stats.t.sf(abs(t), difference.n - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment (Holm 1979) of one family of tests; NaN is no test and stays NaN."""
    order = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [NAN] * len(p_values)
    running = 0.0
    for rank, (p, i) in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * p))
        adjusted[i] = running
    return adjusted

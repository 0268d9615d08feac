"""Correlations of two lists of numbers, with an interval and a p that hold for few pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

from transfer_atlas.analysis import intervals

Kind = Literal["pearson", "spearman"]

# Up to so many pairs every pairing is looked at (40,320 of them).
EXACT_PAIRS = 8
# Values, and correlations, that agree to so many decimals differ by rounding only.
DECIMALS = 12


@dataclass(frozen=True)
class Correlation:
    """A correlation over `n` pairs with its 95 % interval and two-sided p; NaN where there is none."""

    r: float
    low: float
    high: float
    p: float
    n: int


def correlate(x: Sequence[float], y: Sequence[float], kind: Kind) -> Correlation:
    """Pearson's r, or Spearman's rho, of values that belong together by their place.

    Up to 8 pairs p is exact: the share of all pairings of the values whose correlation is as far from 0 (Fisher's
    permutation test; scipy.stats.permutation_test). Above, it is that of Student's t with n - 2 degrees of freedom: for
    normal values exact in Pearson's r, an approximation in Spearman's rho (Kendall & Stuart 1973, "The Advanced Theory
    of Statistics", vol. 2, section 31.19). The interval is Fisher's z of `intervals`; none below four pairs or at 1
    and -1.

    All is undefined where a value is, where all values of a side are equal, and below three pairs, which always lie on
    a line. Values that differ after the twelfth decimal only are equal: means of the same scores may differ there.
    """
    a, b = (np.round(np.asarray(values, dtype=np.float64), DECIMALS) for values in (x, y))
    n = len(a)
    if n < 3 or not np.isfinite([a, b]).all() or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Correlation(math.nan, math.nan, math.nan, math.nan, n)
    if kind == "spearman":
        a, b = stats.rankdata(a), stats.rankdata(b)
    r, p = map(float, stats.pearsonr(a, b))
    interval = intervals.correlation_interval if kind == "pearson" else intervals.rank_correlation_interval
    return Correlation(r, *interval(r, n), p if n > EXACT_PAIRS else _exact_p(a, b), n)


def _exact_p(a: np.ndarray, b: np.ndarray) -> float:
    """The share of all pairings of `a` and `b`, shape (n,), whose correlation is at least as far from 0."""
    unit = (b - b.mean()) / np.linalg.norm(b - b.mean())
    norm = np.linalg.norm(a - a.mean())

    def distance(order: np.ndarray, axis: int) -> Any:
        # `unit` sums to 0: the mean of `a` drops out.
        return np.round(np.abs((order * unit).sum(axis=axis) / norm), DECIMALS)

    found = stats.permutation_test(
        (a,),
        distance,
        permutation_type="pairings",
        alternative="greater",
        n_resamples=math.factorial(EXACT_PAIRS),
        vectorized=True,
    )
    return float(found.pvalue)

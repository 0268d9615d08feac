"""How a share of cells changes with the seeds that happened to be run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from transfer_atlas.analysis.intervals import CONFIDENCE, NAN

Values = NDArray[np.float64]
# Samples of more seeds are too many to look at each (92,378 of ten).
MOST_SEEDS = 10


def over_seeds(values: Sequence[Sequence[float]], statistic: Callable[[Values], Values]) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic of means over seeds, over all samples of seeds with replacement.

    All cells see the same sample, because a seed is the same training subset in each of them. Nothing is drawn: every
    sample is looked at with its probability (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 6:
    the ideal bootstrap).

    Args:
        values: of each cell at each seed, shape (cells, seeds).
        statistic: from means, shape (samples, cells), to one number a sample.

    Returns:
        The ends; NaN with fewer than 2 or more than 10 seeds, or where a value or number is undefined.
    """
    of_cells = np.asarray(values, dtype=np.float64)
    seeds = of_cells.shape[1] if of_cells.ndim == 2 else 0
    if not 2 <= seeds <= MOST_SEEDS or not np.isfinite(of_cells).all():
        return NAN, NAN
    drawn = np.array(list(combinations_with_replacement(range(seeds), seeds)))
    counts = (drawn[:, :, None] == np.arange(seeds)).sum(axis=1)
    orders = np.array([math.factorial(k) for k in range(seeds + 1)], dtype=np.float64)
    probability = orders[seeds] / orders[counts].prod(axis=1) / float(seeds) ** seeds
    found = statistic(counts @ of_cells.T / seeds)
    if not np.isfinite(found).all():
        return NAN, NAN
    order = np.argsort(found, kind="stable")
    cumulative = np.cumsum(probability[order])
    tail = (1 - CONFIDENCE) / 2
    low, high = (found[order][np.searchsorted(cumulative, share)] for share in (tail, 1 - tail))
    return float(low), float(high)

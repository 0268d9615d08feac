"""How sure a statistic of seeds is that is no mean over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from transfer_atlas.analysis.intervals import Estimate, estimate

Seed = TypeVar("Seed")


def jackknife(
    statistic: Callable[[Sequence[Seed]], float],
    seeds: Sequence[Seed],
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """`statistic` of all seeds, with the interval of the delete-one jackknife.

    A seed's pseudo-value is n times the statistic of all n seeds minus n - 1 times that of the others. `sd` is the
    deviation of these values; the interval is that of Student's t over them, around the statistic (Efron & Tibshirani
    1993, "An Introduction to the Bootstrap", chapter 11).

    Args:
        statistic: NaN where it is undefined; then there is no interval.
        seeds: what was measured at each seed.
        within: what the statistic can be; the interval is cut to it.
    """
    n = len(seeds)
    if n < 2:
        return estimate([statistic(seeds)] if n else [])
    found = statistic(seeds)
    without = (statistic([*seeds[:i], *seeds[i + 1 :]]) for i in range(n))
    spread = estimate([n * found - (n - 1) * other for other in without])
    if math.isnan(spread.sd):
        return Estimate(found, math.nan, n, math.nan, math.nan)
    half = (spread.high - spread.low) / 2
    low, high = (min(max(end, within[0]), within[1]) for end in (found - half, found + half))
    return Estimate(found, spread.sd, n, low, high)

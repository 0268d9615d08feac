"""How often differences are below 0 and above it: the sign test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from transfer_atlas.analysis.intervals import CONFIDENCE, NAN


@dataclass(frozen=True)
class Signs:
    """The signs of some differences.

    `share` is that of losses among losses and wins, with its exact binomial interval (Clopper & Pearson 1934) and the
    two-sided p of a share of one half; NaN where all are ties.
    """

    losses: int
    wins: int
    ties: int
    share: float
    low: float
    high: float
    p: float


def sign_test(differences: Sequence[float], tie: float) -> Signs:
    """The test of differences, of which those within `tie` of 0 are left out.

    Raises:
        ValueError: a difference is undefined, which is no tie.
    """
    losses, wins = sum(value < -tie for value in differences), sum(value > tie for value in differences)
    ties = sum(abs(value) <= tie for value in differences)
    if losses + wins + ties < len(differences):
        raise ValueError("a difference is undefined")
    if not losses + wins:
        return Signs(losses, wins, ties, NAN, NAN, NAN, NAN)
    test = stats.binomtest(losses, losses + wins)
    low, high = (float(end) for end in test.proportion_ci(CONFIDENCE, method="exact"))
    return Signs(losses, wins, ties, losses / (losses + wins), low, high, float(test.pvalue))

"""M4 to M6: on what it depends whether an intermediate task helps."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan, log2, sqrt
from statistics import fmean, variance

import numpy as np
from scipy import stats

from transfer_atlas.analysis.anova import OneWay, one_way
from transfer_atlas.analysis.claims.claim import Bound, Claim, Verdict
from transfer_atlas.analysis.claims.mohapatra2022.subject import (
    CROSS_LINGUAL,
    DOMAIN,
    LARGEST,
    Subject,
    mean_over,
    told,
)
from transfer_atlas.analysis.evidence import Contrast, mean_by_seed
from transfer_atlas.analysis.intervals import CONFIDENCE, NAN, Estimate, estimate
from transfer_atlas.analysis.transfer_evidence import Gain

ABOVE_NOISE = Bound(low=1, open=True)
FALLS = Bound(high=0, open=True)
# Points by which both settings may differ and still be called alike.
ALIKE = 1.0


def m4(subject: Subject) -> Claim:
    """Whether it helps is a matter of the task."""
    claim = subject.claim(
        "M4",
        "The gain of an intermediate task varies more between pairs of tasks than between seeds",
        f"abstract: most tasks, more generalised ones; {LARGEST}; exact interval of the F distribution, which takes "
        "gains for normal and equally noisy",
        unit="times the variance between seeds",
    )
    return subject.judged(claim, _variance_ratio, ABOVE_NOISE.judge, str(ABOVE_NOISE), _f_test)


def m5(subject: Subject) -> Claim:
    """It helps most where there is little data (extension)."""
    claim = subject.claim(
        "M5",
        "The gain of an intermediate task falls as the target's train set grows",
        "extension: the literature on intermediate training, not this paper; all sizes, without size 0; slope on log2 "
        "of the train examples by cell, t interval over cells",
        unit="points a doubling",
    )
    return subject.judged(claim, _mean_slope, FALLS.judge, str(FALLS), _turns)


def m6(subject: Subject) -> Claim:
    """Domains and languages are not alike (extension)."""
    claim = subject.claim(
        "M6",
        "The mean gain of an intermediate task differs between domain and cross-lingual adaptation",
        f"extension: the paper's two settings; {LARGEST}; Welch's interval over cells, contradicted only where all of "
        f"it is within ±{ALIKE:g} point and it holds 0",
    )
    return subject.judged(claim, _domain_minus_cross_lingual, _differs, "≠ 0", _settings)


def _grouped(cells: Sequence[Gain]) -> list[list[float]]:
    """Gains by pair of tasks, each the mean over models at the seeds that all have; pairs that some models lack are
    left out."""
    models = {cell.model for cell in cells}
    pairs: dict[tuple[str, str], list[Gain]] = {}
    for cell in cells:
        pairs.setdefault((cell.before, cell.task), []).append(cell)
    whole = [
        mean_by_seed([cell.largest.by_seed for cell in of_pair])
        for of_pair in pairs.values()
        if len(of_pair) == len(models)
    ]
    common = sorted(set.intersection(*map(set, whole))) if whole else []
    return [[by_seed[seed] for seed in common] for by_seed in whole]


def _analysis(cells: Sequence[Gain]) -> OneWay:
    return one_way(_grouped(cells))


def _variance_ratio(cells: Sequence[Gain]) -> Estimate:
    return _analysis(cells).ratio


def _f_test(cells: Sequence[Gain]) -> list[str]:
    groups = _grouped(cells)
    found = [f"n counts pairs of tasks, {len(groups[0])} seeds each" if groups else "no pair was run with all models"]
    test = one_way(groups)
    if not isnan(test.f):
        found.append(f"F = {test.f:.1f}, p = {test.p:.3g}")
    return found


def _compared(cell: Gain) -> dict[int, Contrast]:
    """The sizes at which a side is better than a constant answer; without two of them there is no slope."""
    by_size = {n_train: contrast for n_train, contrast in cell.by_size.items() if not contrast.neither_learnt}
    return by_size if len(by_size) > 1 else {}


def _slopes(cells: Sequence[Gain]) -> list[dict[int, float]]:
    """The least-squares slope of the gain on log2 of the train size, by seed, of each cell that has one."""
    found = []
    for by_size in filter(None, map(_compared, cells)):
        gains = [contrast.by_seed for contrast in by_size.values()]
        seeds = sorted(set.intersection(*map(set, gains)))
        doublings = np.array([log2(n_train) for n_train in by_size])
        centred = doublings - doublings.mean()
        found.append(
            {seed: float(centred @ [gain[seed] for gain in gains]) / float(centred @ centred) for seed in seeds}
        )
    return [slopes for slopes in found if slopes]


def _mean_slope(cells: Sequence[Gain]) -> Estimate:
    return mean_over(_slopes(cells))


def _turns(cells: Sequence[Gain]) -> list[str]:
    slopes = _slopes(cells)
    if not slopes:
        return ["no cell was run at two sizes"]
    ends = [(contrasts[0], contrasts[-1]) for cell in cells if (contrasts := list(_compared(cell).values()))]
    turned = sum(few.estimate.mean > 0 > many.estimate.mean for few, many in ends)
    sizes = sorted({contrast.n_train for pair in ends for contrast in pair})
    means = mean_by_seed(slopes)
    return [
        f"{sizes[0]:,} to {sizes[-1]:,} train examples",
        f"in {turned} of {len(ends)} cells a gain at the smallest size is a loss at the largest",
        f"over seeds {told(estimate(list(means.values())), ' seeds')}",
    ]


def _of_setting(cells: Sequence[Gain], setting: str) -> list[float]:
    """Each cell's mean gain over seeds."""
    return [cell.largest.estimate.mean for cell in cells if cell.setting == setting]


def _domain_minus_cross_lingual(cells: Sequence[Gain]) -> Estimate:
    """The difference of means with Welch's interval; `n` is the cells of the setting that has fewer."""
    sides = [_of_setting(cells, setting) for setting in (DOMAIN, CROSS_LINGUAL)]
    n = min(map(len, sides))
    if not n:
        return Estimate(NAN, NAN, 0, NAN, NAN)
    mean = fmean(sides[0]) - fmean(sides[1])
    if n == 1:
        return Estimate(mean, NAN, 1, NAN, NAN)
    errors = [variance(side) / len(side) for side in sides]
    error = sum(errors)
    if error == 0:
        return Estimate(mean, NAN, n, mean, mean)
    freedom = error**2 / sum(part**2 / (len(side) - 1) for part, side in zip(errors, sides, strict=True))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)) * sqrt(error)
    return Estimate(mean, NAN, n, mean - half, mean + half)


def _differs(found: Estimate) -> Verdict:
    if found.n < 2 or isnan(found.low):
        return "inconclusive"
    if found.low > 0 or found.high < 0:
        return "supported"
    return "contradicted" if Bound(-ALIKE, ALIKE).judge(found) == "supported" else "inconclusive"


def _settings(cells: Sequence[Gain]) -> list[str]:
    counted = {setting: _of_setting(cells, setting) for setting in (DOMAIN, CROSS_LINGUAL)}
    return [", ".join(f"{setting} {told(estimate(gains), ' cells')}" for setting, gains in counted.items() if gains)]

"""M4 to M6: on what it depends whether an intermediate task helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan, log2, sqrt
from statistics import fmean, variance

import numpy as np
from scipy import stats

from transfer_atlas.analysis.anova import one_way
from transfer_atlas.analysis.claims.claim import NO_ESTIMATE, Bound, Claim, Verdict
from transfer_atlas.analysis.claims.mohapatra2022.subject import (
    CROSS_LINGUAL,
    DOMAIN,
    LARGEST,
    Subject,
    across_seeds,
    mean_gains,
    told,
)
from transfer_atlas.analysis.evidence import Contrast
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
        f"abstract: most tasks, more generalised ones; {LARGEST}; pairs by their mean over models, seeds of a single "
        "model; interval of the F distribution, which takes gains for normal and equally noisy",
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


def _by_pair(cells: Sequence[Gain]) -> np.ndarray:
    """Gains [pairs of tasks, models, seeds] at the seeds that all have; pairs that some models lack are left out."""
    models = {cell.model for cell in cells}
    pairs: dict[tuple[str, str], list[dict[int, float]]] = {}
    for cell in cells:
        pairs.setdefault((cell.before, cell.task), []).append(cell.largest.by_seed)
    whole = [of_pair for of_pair in pairs.values() if len(of_pair) == len(models)]
    common = sorted(set.intersection(*(set(by_seed) for of_pair in whole for by_seed in of_pair))) if whole else []
    gains = [[[by_seed[seed] for seed in common] for by_seed in of_pair] for of_pair in whole]
    return np.array(gains, dtype=np.float64).reshape(len(whole), len(models), len(common))


def _variance_ratio(cells: Sequence[Gain]) -> Estimate:
    if not cells:
        return NO_ESTIMATE
    gains = _by_pair(cells)
    means = gains.mean(axis=1)
    found = one_way(means).ratio
    if isnan(found.mean):
        return found
    # A mean over models scatters less between seeds than the gain that is spoken of, and the less the more they are.
    scale = float(means.var(axis=1, ddof=1).mean() / gains.var(axis=2, ddof=1).mean())
    return replace(found, mean=found.mean * scale, low=found.low * scale, high=found.high * scale)


def _f_test(cells: Sequence[Gain]) -> list[str]:
    means = _by_pair(cells).mean(axis=1)
    pairs, seeds = means.shape
    found = [f"n counts pairs of tasks, {seeds} seeds each" if pairs else "no pair was run with all models"]
    test = one_way(means)
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
    return estimate([fmean(slopes.values()) for slopes in _slopes(cells)])


def _turns(cells: Sequence[Gain]) -> list[str]:
    slopes = _slopes(cells)
    if not slopes:
        return ["no cell was run at two sizes"]
    ends = [(contrasts[0], contrasts[-1]) for cell in cells if (contrasts := list(_compared(cell).values()))]
    turned = sum(few.estimate.mean > 0 > many.estimate.mean for few, many in ends)
    sizes = sorted({contrast.n_train for pair in ends for contrast in pair})
    return [
        f"{sizes[0]:,} to {sizes[-1]:,} train examples",
        f"in {turned} of {len(ends)} cells a gain at the smallest size is a loss at the largest",
        across_seeds(slopes),
    ]


def _of_setting(cells: Sequence[Gain], setting: str) -> list[float]:
    return mean_gains([cell for cell in cells if cell.setting == setting])


def _domain_minus_cross_lingual(cells: Sequence[Gain]) -> Estimate:
    """The difference of means with Welch's interval; `n` is the cells of the setting that has fewer."""
    sides = [_of_setting(cells, setting) for setting in (DOMAIN, CROSS_LINGUAL)]
    n = min(map(len, sides))
    if not n:
        return NO_ESTIMATE
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

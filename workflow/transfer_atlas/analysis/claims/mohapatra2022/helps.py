"""M1 to M3: whether an intermediate task helps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from statistics import fmean

import numpy as np

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.bootstrap import Values, over_seeds
from transfer_atlas.analysis.claims.claim import NO_SCATTER, Bound, Claim, Verdict, undecided, whole
from transfer_atlas.analysis.claims.comparisons import with_published
from transfer_atlas.analysis.claims.mohapatra2022.subject import (
    LARGEST,
    TEXT_CLASSIFICATION,
    Subject,
    across_seeds,
    learnt,
    mean_gains,
)
from transfer_atlas.analysis.constant_answers import ROUNDING
from transfer_atlas.analysis.intervals import NAN, SIGNIFICANCE, Estimate, estimate
from transfer_atlas.analysis.published import Published
from transfer_atlas.analysis.sign_test import Signs, sign_test
from transfer_atlas.analysis.transfer_evidence import Gain

MOST = Bound(low=0.5, open=True)
NEGATIVE = Bound(high=0, open=True)
HELPS = "> 0 beyond seed noise in some cell"
# Before any run was made, for want of the paper's own definition of a more generalised task: topics, genres and
# inference differ in their label sets and domains far more than polarities or degrees of similarity do.
MORE_GENERAL = TEXT_CLASSIFICATION


def m1(subject: Subject) -> Claim:
    """Skipping the intermediate task is better for most tasks."""
    claim = subject.claim(
        "M1",
        "Without an intermediate task the score is higher than with one in more than half of the cells (model, "
        "intermediate task, target)",
        f"abstract: better for most tasks; {LARGEST}; exact binomial interval over cells, ties left out",
        unit="of the cells",
    )
    printed = [gain for number in subject.printed if (gain := number.difference)]
    if printed:
        share = fmean(gain < 0 for gain in printed)
        claim = with_published(claim, Published(round(share, 3), None, verified=False))
    return subject.judged(claim, _share_of_losses, MOST.judge, str(MOST), _signs)


def m2(subject: Subject) -> Claim:
    """On average it is better to skip it."""
    claim = subject.claim(
        "M2",
        "Averaged over cells, the score with an intermediate task minus that without is negative",
        f"abstract: better performance without; {LARGEST}; t interval over cells",
        note="differences of accuracy and of correlation are averaged together",
    )
    printed = [gain for number in subject.printed if (gain := number.difference) is not None]
    if printed:
        claim = with_published(claim, Published(round(fmean(printed), 3), None, verified=False))
    return subject.judged(claim, _mean_gain, NEGATIVE.judge, str(NEGATIVE), _over_seeds)


def m3(subject: Subject) -> Claim:
    """There are tasks that need it, the more general ones."""
    claim = subject.claim(
        "M3",
        "In at least one cell the intermediate task helps beyond the noise of seeds, and in one of the more general "
        f"tasks ({MORE_GENERAL})",
        "abstract: more generalised tasks may need it; which these are is ours, fixed before any run: the family of "
        f"the broadest label sets and domains; p ≤ {SIGNIFICANCE:g} of the paired t test after Holm's correction over "
        f"all cells; {LARGEST}",
    )
    claim = replace(claim, bound=HELPS)
    cells = subject.papers(subject.cells)
    corrected = _holm(learnt(cells))
    asked = {
        "anywhere": cells,
        f"in {MORE_GENERAL}": [gain for gain in cells if gain.family == MORE_GENERAL],
    }
    deciding = [_somewhere(replace(claim, part=part), subject, among, corrected) for part, among in asked.items()]
    beside = [
        _somewhere(replace(claim, part=f"{name} alone"), subject, among, corrected)
        for name in subject.players()
        if (among := [gain for gain in cells if subject.plays(gain) == name])
    ]
    made = whole(claim, deciding)
    return replace(made, controls=_helped_beyond(subject), parts=(*deciding, *beside)) if cells else made


def _signs_of(cells: Sequence[Gain]) -> Signs | None:
    """None where a gain is undefined."""
    gains = mean_gains(cells)
    return sign_test(gains, ROUNDING) if np.isfinite(gains).all() else None


def _share_of_losses(cells: Sequence[Gain]) -> Estimate:
    signs = _signs_of(cells)
    if signs is None or isnan(signs.share):
        return Estimate(NAN, NAN, len(cells), NAN, NAN)
    return Estimate(signs.share, NAN, signs.losses + signs.wins, signs.low, signs.high)


def _signs(cells: Sequence[Gain]) -> list[str]:
    signs = _signs_of(cells)
    if signs is None:
        return []
    if isnan(signs.share):
        return ["no cell differs"]
    found = [
        f"{signs.losses} lower and {signs.wins} higher with an intermediate task, two-sided sign test p = {signs.p:.3g}"
    ]
    by_seed = _by_seed(cells)
    low, high = over_seeds(list(zip(*by_seed.values(), strict=True)), _share_lost)
    if not isnan(low):
        found.append(f"bootstrap over {len(by_seed)} seeds: {low:.2f} to {high:.2f}")
    return found


def _share_lost(means: Values) -> Values:
    """Losses among losses and wins, from mean gains of shape (samples, cells)."""
    losses, wins = ((sign * means < -ROUNDING).sum(axis=1) for sign in (1, -1))
    with np.errstate(invalid="ignore"):
        share: Values = losses / (losses + wins)
    return share


def _by_seed(cells: Sequence[Gain]) -> dict[int, list[float]]:
    """The gains of all cells at each seed that all have."""
    differences = [cell.largest.by_seed for cell in cells]
    common = sorted(set.intersection(*map(set, differences))) if differences else []
    return {seed: [by_seed[seed] for by_seed in differences] for seed in common}


def _mean_gain(cells: Sequence[Gain]) -> Estimate:
    return estimate(mean_gains(cells))


def _over_seeds(cells: Sequence[Gain]) -> list[str]:
    return [across_seeds([cell.largest.by_seed for cell in cells])]


def _holm(cells: Sequence[Gain]) -> dict[tuple[str, str, str], float]:
    """The corrected p of each cell."""
    p_values = [intervals.two_sided_p(cell.largest.estimate) for cell in cells]
    return {_place(cell): p for cell, p in zip(cells, intervals.holm(p_values), strict=True)}


def _place(cell: Gain) -> tuple[str, str, str]:
    return cell.model, cell.intermediate, cell.task


def _somewhere(
    claim: Claim, subject: Subject, among: Sequence[Gain], corrected: dict[tuple[str, str, str], float]
) -> Claim:
    """That one of these cells gains, with the estimate of the cell that speaks most for it.

    Contradicted where the whole interval of every cell lies below 0.
    """
    if not among:
        return claim
    cells = learnt(among)
    claim = subject.played(claim, [cell.largest for cell in among])
    for note in subject.remarks(among):
        claim = claim.noted(note)
    known = [cell for cell in cells if not isnan(cell.largest.estimate.low)]
    if not known:
        return undecided(claim, "no cell has an interval")
    helped = [cell for cell in known if _helps(cell, corrected)]
    hurt = [cell for cell in known if cell.largest.estimate.high < 0]
    verdict: Verdict = "supported" if helped else "contradicted" if len(hurt) == len(cells) else "inconclusive"
    # Above 0 the surest, else the largest.
    best = max(known, key=lambda cell: (_helps(cell, corrected), cell.largest.estimate.low))
    found = best.largest.estimate
    model, intermediate, task = _place(best)
    p = corrected[_place(best)]
    return (
        replace(claim, verdict=verdict, estimate=found)
        .noted(NO_SCATTER if found.sd <= ROUNDING else "")
        .noted(f"helps in {len(helped)} of {len(cells)} cells after Holm's correction")
        .noted(f"the estimate is of {intermediate} before {task} with {model}; n counts seeds; p {p:.3g} (Holm)")
    )


def _helped_beyond(subject: Subject) -> str:
    """In how many cells it helps against the controls."""
    told = []
    for name, gains in subject.controls(subject.papers).items():
        cells = learnt(gains)
        corrected = _holm(cells)
        if cells:
            told.append(f"{name}: helps in {sum(_helps(cell, corrected) for cell in cells)} of {len(cells)} cells")
    return "; ".join(told)


def _helps(cell: Gain, corrected: dict[tuple[str, str, str], float]) -> bool:
    return cell.largest.estimate.mean > 0 and corrected[_place(cell)] <= SIGNIFICANCE

"""K10 and K11: the layers in another order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

import numpy as np
from scipy import stats

from transfer_atlas.analysis.claims.claim import Bound, Claim, Verdict, whole
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT, judged, played_by
from transfer_atlas.analysis.claims.tamkin2020.subject import TASKS, Size, Stage, Subject, part_of
from transfer_atlas.analysis.constant_answers import neither_better
from transfer_atlas.analysis.evidence import Contrast
from transfer_atlas.analysis.intervals import NAN, Estimate, holm, rank_correlation_interval

BELOW = Bound(low=5)
ANY_BELOW = Bound(low=0, open=True)
SIGNIFICANCE = 0.05
# Of fewer permutations no order is rare enough to come out significant.
FEWEST = 5


def k10(subject: Subject) -> Claim:
    """Order matters."""
    permute = subject.run_with("permute")
    claim = subject.claim(
        "K10",
        "With 5,000 examples, BERT with its layers permuted is at least 5 points worse than BERT on average, and worse "
        "with the best permutation too, on each task",
        "direction: summaries of the paper; 5 points: ours",
        permute,
    )
    parts = []
    for name in TASKS:
        parts += part_of(claim, subject, name, [Size.MIDDLE], [permute], _mean_below, BELOW, "mean of permutations")
        parts += part_of(claim, subject, name, [Size.MIDDLE], [permute], _best_below, ANY_BELOW, "best permutation")
    return whole(claim, parts)


def k11(subject: Subject) -> Claim:
    """The same permutation is not as bad for one task as for another."""
    permute = subject.run_with("permute")
    claim = subject.claim(
        "K11",
        "With 5,000 examples, the same permutation does not act alike across tasks: not all rank correlations of "
        f"scores between two tasks are significant (Holm, p > {SIGNIFICANCE} for at least one)",
        "form: the authors' code of Table 1, whose numbers are in no source",
        permute,
    )
    claim = replace(claim, unit="Spearman's r", bound=f"p > {SIGNIFICANCE} for at least one pair")
    stages = [stage for name in TASKS if (stage := _stage(subject, name, permute)) is not None]
    pairs = [_Pair.of(*both) for both in combinations(stages, 2)]
    if not pairs:
        return claim
    return _judged(claim, subject, stages, pairs)


@dataclass(frozen=True)
class _Pair:
    """How alike permutations act on two tasks."""

    name: str
    r: float
    p: float
    n: int
    learnt: bool

    @staticmethod
    def of(one: Stage, other: Stage) -> _Pair:
        """Over the permutations that both have, each by its mean over seeds."""
        curves = [one.curve, other.curve]
        numbers = sorted(set(curves[0].depths) & set(curves[1].depths))
        x, y = ([fmean(curve.by_depth[number].test.values()) for number in numbers] for curve in curves)
        learnt = not any(
            neither_better([scores.test for scores in curve.by_depth.values()], curve.constant) for curve in curves
        )
        name = f"{one.paper_task} and {other.paper_task}"
        if len(numbers) < 3 or not np.isfinite([x, y]).all() or np.ptp(x) == 0 or np.ptp(y) == 0:
            return _Pair(name, NAN, NAN, len(numbers), learnt)
        found = stats.spearmanr(x, y)
        return _Pair(name, float(found.statistic), float(found.pvalue), len(numbers), learnt)


def _judged(claim: Claim, subject: Subject, stages: list[Stage], pairs: list[_Pair]) -> Claim:
    adjusted = holm([pair.p for pair in pairs])
    decided = [
        (pair, p) for pair, p in zip(pairs, adjusted, strict=True) if pair.learnt and pair.n >= FEWEST and p >= 0
    ]
    verdict: Verdict = "inconclusive"
    if any(p > SIGNIFICANCE for _, p in decided):
        verdict = "supported"
    elif len(decided) == len(list(combinations(TASKS, 2))):
        verdict = "contradicted"
    lowest = min(pairs, key=lambda pair: (np.isnan(pair.r), pair.r))
    told = [f"{pair.name}: r = {pair.r:.2f}, p = {p:.3f}" for pair, p in zip(pairs, adjusted, strict=True)]
    arms = [stage.curve.average(stage.curve.depths) for stage in stages]
    claim = played_by(claim, subject.evidence, arms)
    for stage in stages:
        claim = claim.noted(f"{stage.paper_task}: {stage.note}" if stage.note else "")
    found = Estimate(lowest.r, NAN, lowest.n, *rank_correlation_interval(lowest.r, lowest.n))
    claim = replace(claim, verdict=verdict, estimate=found).noted("; ".join(told))
    if not all(pair.learnt for pair in pairs):
        claim = claim.noted(f"{NEITHER_LEARNT} on a task of {', '.join(p.name for p in pairs if not p.learnt)}")
    return claim.noted(f"weak by construction: {lowest.n} permutations")


def _stage(subject: Subject, paper_task: str, permute: str | None) -> Stage | None:
    """Where the paper's task was run with permutations: its own data, else the first that stands in."""
    if permute is None:
        return None
    entries = sorted(subject.entries(paper_task), key=lambda task: subject.evidence.tasks[task].stand_in)
    stages = (subject.stage(task, paper_task, Size.MIDDLE, permute) for task in entries)
    return next((stage for stage in stages if stage is not None), None)


def _mean_below(part: Claim, stage: Stage) -> Claim:
    """The untouched encoder minus each permutation (means over the seeds of both); the interval is over these."""
    full, curve = stage.full, stage.curve
    if full is None:
        return part
    contrasts = [Contrast(full, curve.average([number])) for number in curve.depths]
    by_number = {
        number: fmean(contrast.by_seed.values())
        for number, contrast in zip(curve.depths, contrasts, strict=True)
        if contrast.by_seed
    }
    part = part.noted(f"interval over {len(by_number)} permutations")
    surgery = stage.subject.progressive
    scratch = stage.subject.known.curve(stage.place, surgery).arm(0) if surgery else None
    if scratch is not None:
        permuted = fmean(fmean(scores.test.values()) for scores in curve.by_depth.values())
        part = part.noted(f"{permuted:.1f} on average, {fmean(scratch.test.values()):.1f} with no layer kept")
    return judged(part, stage.subject.evidence, by_number, BELOW, contrasts, None)


def _best_below(part: Claim, stage: Stage) -> Claim:
    """The untouched encoder minus the permutation that is best on validation."""
    full, curve = stage.full, stage.curve
    if full is None:
        return part
    best = max(curve.depths, key=lambda number: curve.by_depth[number].rank)
    contrast = Contrast(full, curve.average([best]))
    part = part.noted(f"number {best}, chosen on validation of {len(curve.depths)}")
    return judged(part, stage.subject.evidence, contrast.by_seed, ANY_BELOW, [contrast], None)

"""K10 and K11: the layers in another order."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean

from transfer_atlas.analysis.claims.claim import Bound, Claim, Verdict, whole
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT, judged, played_by
from transfer_atlas.analysis.claims.tamkin2020.subject import TASKS, Size, Stage, Subject, part_of
from transfer_atlas.analysis.constant_answers import neither_better
from transfer_atlas.analysis.correlations import Correlation, correlate
from transfer_atlas.analysis.evidence import Contrast
from transfer_atlas.analysis.intervals import NAN, SIGNIFICANCE, Estimate, holm

BELOW = Bound(low=5)
ANY_BELOW = Bound(low=0, open=True)
# The paper's number of permutations. With fewer, hardly any correlation can come out significant.
FEWEST = 10


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
        parts += part_of(claim, subject, name, [Size.ONLY], [permute], _mean_below, BELOW, "mean of permutations")
        parts += part_of(claim, subject, name, [Size.ONLY], [permute], _best_below, ANY_BELOW, "best permutation")
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
    found: Correlation
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
        return _Pair(f"{one.paper_task} and {other.paper_task}", correlate(x, y, "spearman"), learnt)


def _judged(claim: Claim, subject: Subject, stages: list[Stage], pairs: list[_Pair]) -> Claim:
    adjusted = holm([pair.found.p for pair in pairs])
    decided = [p for pair, p in zip(pairs, adjusted, strict=True) if pair.learnt and pair.found.n >= FEWEST and p >= 0]
    verdict: Verdict = "inconclusive"
    if any(p > SIGNIFICANCE for p in decided):
        verdict = "supported"
    elif len(decided) == len(list(combinations(TASKS, 2))):
        verdict = "contradicted"
    lowest = min((pair.found for pair in pairs), key=lambda found: (math.isnan(found.r), found.r))
    told = [f"{pair.name}: r = {pair.found.r:.2f}, p = {p:.3f}" for pair, p in zip(pairs, adjusted, strict=True)]
    arms = [stage.curve.average(stage.curve.depths) for stage in stages]
    claim = played_by(claim, subject.evidence, arms)
    for stage in stages:
        claim = claim.noted(f"{stage.paper_task}: {stage.note}" if stage.note else "")
    found = Estimate(lowest.r, NAN, lowest.n, lowest.low, lowest.high)
    claim = replace(claim, verdict=verdict, estimate=found).noted("; ".join(told))
    if not all(pair.learnt for pair in pairs):
        claim = claim.noted(f"{NEITHER_LEARNT} on a task of {', '.join(p.name for p in pairs if not p.learnt)}")
    if lowest.n < FEWEST:
        return claim.noted(f"{lowest.n} permutations are too few to tell, the paper has {FEWEST}")
    return claim.noted(f"weak by construction: {lowest.n} permutations")


def _stage(subject: Subject, paper_task: str, permute: str | None) -> Stage | None:
    """Where the paper's task was run with permutations: its own data, else the first that stands in."""
    if permute is None:
        return None
    entries = sorted(subject.entries(paper_task), key=lambda task: subject.evidence.tasks[task].stand_in)
    stages = (subject.stage(task, paper_task, Size.ONLY, permute) for task in entries)
    return next((stage for stage in stages if stage is not None), None)


def _mean_below(part: Claim, stage: Stage) -> Claim:
    """The untouched encoder minus the mean over permutations at each seed: the permutations are a fixed set."""
    full, curve = stage.full, stage.curve
    if full is None:
        return part
    contrast = Contrast(full, curve.average(curve.depths))
    part = part.noted(f"of these {len(curve.depths)} permutations, whatever others would do; interval over seeds")
    surgery = stage.subject.progressive
    scratch = stage.subject.known.curve(stage.place, surgery).arm(0) if surgery else None
    if scratch is not None:
        permuted = fmean(fmean(scores.test.values()) for scores in curve.by_depth.values())
        part = part.noted(f"{permuted:.1f} on average, {fmean(scratch.test.values()):.1f} with no layer kept")
    return judged(part, stage.subject.evidence, contrast.by_seed, BELOW, [contrast], None)


def _best_below(part: Claim, stage: Stage) -> Claim:
    """The untouched encoder minus the permutation that is best on validation."""
    full, curve = stage.full, stage.curve
    if full is None:
        return part
    best = max(curve.depths, key=lambda number: curve.by_depth[number].rank)
    contrast = Contrast(full, curve.average([best]))
    part = part.noted(f"number {best}, chosen on validation of {len(curve.depths)}")
    return judged(part, stage.subject.evidence, contrast.by_seed, ANY_BELOW, [contrast], None)

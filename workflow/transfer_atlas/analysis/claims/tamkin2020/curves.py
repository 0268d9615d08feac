"""K1 to K6 and K13: what keeping more of the pretrained layers gains, at which train size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from statistics import fmean

import numpy as np

from transfer_atlas.analysis import deviations
from transfer_atlas.analysis.claims.claim import UNDEFINED, Bound, Claim, bounded, undecided, whole, why_undefined
from transfer_atlas.analysis.claims.comparisons import beside, judged, judged_on, played_by
from transfer_atlas.analysis.claims.layers import at_every_layer
from transfer_atlas.analysis.claims.tamkin2020.subject import (
    COLA,
    LAYERS,
    OURS,
    PAPER,
    QNLI,
    SST2,
    TASKS,
    Judge,
    Size,
    Stage,
    Subject,
    part_of,
    printed,
)
from transfer_atlas.analysis.correlations import correlate
from transfer_atlas.analysis.evidence import Contrast
from transfer_atlas.analysis.intervals import NAN, estimate
from transfer_atlas.analysis.jackknife import jackknife
from transfer_atlas.analysis.published import Published, find, minus

# The rank correlation of fewer depths says too little.
FEWEST_DEPTHS = 5


def k1(subject: Subject) -> Claim:
    """The more pretrained layers are kept, the better."""
    claim = subject.claim(
        "K1",
        "With 5,000 examples or more, the score rises with the number of pretrained layers kept (rank correlation at "
        "least 0.9)",
        OURS,
        subject.progressive,
        note="Spearman correlation of the means over seeds, jackknife interval over seeds",
    )
    claim = replace(claim, unit="rank correlation")
    parts: list[Claim] = []
    for name in TASKS:
        for size in (Size.MIDDLE, Size.LARGE):
            asked = part_of(claim, subject, name, [size], [subject.progressive], _rises, Bound(low=0.9))
            # One train size may have to play both of the paper's.
            judged_already = [(part.tasks, part.n_train) for part in parts if part.verdict != "not run"]
            parts += [part for part in asked if (part.tasks, part.n_train) not in judged_already]
    return whole(claim, parts)


def k2(subject: Subject) -> Claim:
    """What a layer gains depends on how much data there is."""
    claim = subject.claim(
        "K2",
        "SST-2: keeping the lowest 4 of 12 layers instead of none gains at least 6 points with 50,000 examples, but at "
        "most 3 with 500",
        OURS,
        subject.progressive,
        [4],
    )
    large = _minus(claim, subject, SST2, Size.LARGE, (4, 0), Bound(low=6))
    # That nothing is learnt with so little data, whichever of the two is kept, is what is claimed.
    small = _minus(claim, subject, SST2, Size.SMALL, (4, 0), Bound(high=3), unlearnt_counts=True)
    return whole(claim, large + small)


def k3(subject: Subject) -> Claim:
    """With little data a few pretrained layers are worth nothing."""
    claim = subject.claim(
        "K3",
        "With 500 examples and at most 2 of 12 layers kept, SST-2 and QNLI stay within 2 points of the majority class",
        OURS,
        subject.progressive,
        [2],
    )
    parts = []
    for name in (SST2, QNLI):
        published = minus(printed(name, Size.SMALL, 2), find(PAPER, "majority", "", name, "constant answer"))
        judge, bound = _near_majority(published), Bound(-2, 2)
        parts += part_of(claim, subject, name, [Size.SMALL], [subject.progressive], judge, bound, published=published)
    return whole(claim, parts)


def k4(subject: Subject) -> Claim:
    """With little data the middle layers are what helps."""
    claim = subject.claim(
        "K4",
        "SST-2 with 500 examples: keeping the lowest 6 of 12 layers is at least 10 points better than keeping 4",
        OURS,
        subject.progressive,
        [4, 6],
    )
    return whole(claim, _minus(claim, subject, SST2, Size.SMALL, (6, 4), Bound(low=10)))


def k5(subject: Subject) -> Claim:
    """Early layers make the gain on QNLI, middle layers on SST-2 and CoLA."""
    claim = subject.claim(
        "K5",
        "With 5,000 examples, the lowest 4 of 12 layers give at least 0.75 of what all give on QNLI, and less than "
        "half on SST-2 and CoLA",
        OURS,
        subject.progressive,
        [4],
    )
    claim = replace(claim, unit="of the gain")
    parts = []
    for name, bound in (
        (QNLI, Bound(low=0.75)),
        (SST2, Bound(high=0.5, open=True)),
        (COLA, Bound(high=0.5, open=True)),
    ):
        published = _printed_share(name, Size.MIDDLE, 4)
        judge = _share(bound, published)
        parts += part_of(claim, subject, name, [Size.MIDDLE], [subject.progressive], judge, bound, published=published)
    return whole(claim, parts)


def k6(subject: Subject) -> Claim:
    """The top layers can be spared."""
    claim = subject.claim(
        "K6",
        "Keeping 10 of 12 layers is as good as keeping all, within 1.5 points (SST-2 with 5,000 and 50,000 examples, "
        "CoLA with all)",
        OURS,
        subject.progressive,
        [10],
    )
    parts = []
    for name, size in ((SST2, Size.MIDDLE), (SST2, Size.LARGE), (COLA, Size.LARGE)):
        parts += _minus(claim, subject, name, size, (12, 10), Bound(-1.5, 1.5))
    return whole(claim, parts)


def k13(subject: Subject) -> Claim:
    """With little data it is a matter of luck."""
    claim = subject.claim(
        "K13",
        "With some of the middle layers kept (4, 6 or 8 of 12), scores scatter more over seeds with 500 examples than "
        "with 5,000",
        "direction: the authors' scatter plot of 50 runs with 500 examples",
        subject.progressive,
        [4, 6, 8],
        note="interval of the F distribution, which takes both sizes for independent and normal",
    )
    claim = replace(claim, unit="log ratio of sds")
    parts = []
    for name in TASKS:
        for depth, kept in sorted({subject.depth(kept): kept for kept in (8, 6, 4)}.items()):
            sizes, surgeries = [Size.SMALL, Size.MIDDLE], [subject.progressive]
            bound = Bound(low=0, open=True)
            parts += part_of(claim, subject, name, sizes, surgeries, _scatter(depth, bound), bound, f"k = {kept}")
    return whole(claim, parts)


def _rises(part: Claim, stage: Stage) -> Claim:
    curve = stage.curve
    if len(curve.depths) < FEWEST_DEPTHS:
        return part.noted(f"needs {FEWEST_DEPTHS} depths, {len(curve.depths)} were run")
    by_seed = list(curve.by_seed(curve.depths).values())

    def rho(seeds: Sequence[Sequence[float]]) -> float:
        """Spearman's correlation of depths with the means over these seeds."""
        return correlate(curve.depths, np.mean(seeds, axis=0).tolist(), "spearman").r

    found = jackknife(rho, by_seed, within=(-1, 1))
    if by_seed:
        part = part.noted(f"{fmean(rho([scores]) for scores in by_seed):.2f} on average over each seed's own")
    ends = Contrast(curve.average([curve.depths[-1]]), curve.average([curve.depths[0]]))
    undefined = why_undefined(chain(*by_seed), "the same score at all depths")
    return judged_on(part, stage.subject.evidence, found, Bound(low=0.9), [ends], None, undefined=undefined)


def _minus(
    claim: Claim,
    subject: Subject,
    paper_task: str,
    size: Size,
    kept: tuple[int, int],
    bound: Bound,
    unlearnt_counts: bool = False,
) -> list[Claim]:
    """A part: the score with more layers kept minus that with fewer, of the paper's 12.

    Args:
        unlearnt_counts: whether it is decided where neither side is better than a constant answer.
    """
    more, fewer = kept
    published = minus(*(printed(paper_task, size, k) for k in kept))

    def judge(part: Claim, stage: Stage) -> Claim:
        depths = [subject.depth(k) for k in kept]
        if depths[0] == depths[1]:
            return part.noted(f"with {subject.layers} layers, {more} and {fewer} of {LAYERS} are the same")
        high, low = (stage.curve.arm(depth) for depth in depths)
        if high is None or low is None:
            return part
        contrast = Contrast(high, low)
        if unlearnt_counts:
            part = beside(played_by(part, subject.evidence, [high, low]), subject.evidence, published)
            return bounded(part, contrast.estimate, bound)
        return judged(part, subject.evidence, contrast.by_seed, bound, [contrast], published)

    return part_of(claim, subject, paper_task, [size], [subject.progressive], judge, bound, published=published)


def _near_majority(published: Published | None) -> Judge:
    """Judges how far from the majority class scores are. That nothing was learnt is what is claimed here."""

    def judge(part: Claim, stage: Stage) -> Claim:
        curve, evidence = stage.curve, stage.subject.evidence
        arms = {depth: curve.arm(depth) for depth in range(stage.subject.depth(2) + 1)}
        run = [arm for arm in arms.values() if arm is not None]
        if not run:
            return part
        part = beside(played_by(part, evidence, run), evidence, published)
        constant = curve.constant
        if constant is None:
            return undecided(part, "the score of the majority class is unknown")
        apart = {
            depth: estimate([score - constant for score in arm.test.values()] if arm else [])
            for depth, arm in arms.items()
        }
        return at_every_layer(part, apart, Bound(-2, 2), called="depth")

    return judge


def _share(bound: Bound, published: Published | None) -> Judge:
    """Judges the share of the gain of all layers that the lowest 4 of 12 give."""

    def judge(part: Claim, stage: Stage) -> Claim:
        subject, curve = stage.subject, stage.curve
        depths = [0, subject.depth(4), subject.layers]
        if len(set(depths)) < 3:
            return part.noted(f"with {subject.layers} layers, 4 of {LAYERS} are none or all")
        none, some, every = (curve.arm(depth) for depth in depths)
        if none is None or some is None or every is None:
            return part
        by_seed = {
            seed: (kept - scratch) / (full - scratch) if full > scratch else NAN
            for seed, (scratch, kept, full) in curve.by_seed(depths).items()
        }
        without_gain = sum(full <= scratch for scratch, _, full in curve.by_seed(depths).values())
        if without_gain:
            part = part.noted(f"no share: at {without_gain} of {len(by_seed)} seeds all layers together gain nothing")
        undefined = "" if without_gain else UNDEFINED
        return judged(part, subject.evidence, by_seed, bound, [Contrast(every, some)], published, undefined=undefined)

    return judge


def _scatter(depth: int, bound: Bound) -> Judge:
    """Judges how much more scores scatter at the first train size than at the second."""

    def judge(part: Claim, small: Stage, middle: Stage) -> Claim:
        left, right = (stage.curve.arm(depth) for stage in (small, middle))
        if left is None or right is None:
            return part
        if left.n_train == right.n_train:
            return part.noted("one train size plays both")
        values = [list(arm.test.values()) for arm in (left, right)]
        found = deviations.log_ratio([values[0]], [values[1]])
        undefined = why_undefined(chain(*values), "the same score at every seed of one train size")
        return judged_on(part, small.subject.evidence, found, bound, [Contrast(left, right)], None, undefined=undefined)

    return judge


def _printed_share(paper_task: str, size: Size, kept: int) -> Published | None:
    none, some, every = (printed(paper_task, size, k) for k in (0, kept, LAYERS))
    if none is None or some is None or every is None:
        return None
    share = (some.value - none.value) / (every.value - none.value)
    return Published(round(share, 3), some.metric, some.verified and none.verified and every.verified)

"""K7 and K9: fine-tuning beside probes of the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from statistics import fmean

import numpy as np

from transfer_atlas.analysis.claims.claim import Bound, Claim, undecided, whole, why_undefined
from transfer_atlas.analysis.claims.comparisons import judged
from transfer_atlas.analysis.claims.tamkin2020.subject import (
    LAYERS,
    OURS,
    QNLI,
    TASKS,
    Size,
    Stage,
    Subject,
    part_of,
    printed,
)
from transfer_atlas.analysis.evidence import Contrast
from transfer_atlas.analysis.intervals import NAN

# Points up to which a probe on QNLI is taken to be at chance.
AT_CHANCE = 52
ENOUGH = Bound(low=75)
CLOSER = Bound(high=0, open=True)


def k7(subject: Subject) -> Claim:
    """What cannot be read off a layer may still help."""
    claim = subject.claim(
        "K7",
        "High probing scores are not necessary: with 5,000 examples of QNLI, keeping the lowest 3 of 12 layers, whose "
        "probes are at chance (at most 52), reaches at least 75",
        OURS,
        subject.progressive,
        [3],
    )
    published = printed(QNLI, Size.MIDDLE, 3)
    sizes, surgeries = [Size.MIDDLE], [subject.progressive]
    return whole(claim, part_of(claim, subject, QNLI, sizes, surgeries, _reaches, ENOUGH, published=published))


def k9(subject: Subject) -> Claim:
    """The less data, the more fine-tuning is like probing."""
    claim = subject.claim(
        "K9",
        "The less data, the closer the curve of fine-tuning is to that of probing: closer with 500 examples than with "
        "5,000 and 50,000",
        "direction: abstract and introduction of the paper; the measure of closeness is ours",
        subject.progressive,
        note="mean absolute difference of curves over layers, each scaled from 0 to 1",
    )
    claim = replace(claim, unit="scaled distance")
    parts = []
    for name in TASKS:
        for more in (Size.MIDDLE, Size.LARGE):
            surgeries = [subject.progressive]
            parts += part_of(claim, subject, name, [Size.SMALL, more], surgeries, _closer, CLOSER)
    return whole(claim, parts)


def shape_distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean absolute difference of two curves, each scaled from 0 to 1; NaN where one is flat or undefined."""
    curves = np.array([one, other], dtype=np.float64)
    span = np.ptp(curves, axis=1, keepdims=True)
    if not np.isfinite(curves).all() or not span.all():
        return NAN
    low, high = (curves - curves.min(axis=1, keepdims=True)) / span
    return float(np.abs(low - high).mean())


def _reaches(part: Claim, stage: Stage) -> Claim:
    subject = stage.subject
    layers = range(1, subject.depth(3) + 1)
    if not layers:
        return part.noted(f"with {subject.layers} layers, 3 of {LAYERS} are none")
    arm = stage.curve.arm(layers[-1])
    if arm is None:
        return part
    made = judged(part, subject.evidence, arm.test, ENOUGH, [Contrast(arm, arm)], printed(QNLI, Size.MIDDLE, 3))
    probes = stage.probes
    probed = (
        {}
        if probes is None
        else {layer: fmean(probes.by_depth[layer].test.values()) for layer in layers if layer in probes.depths}
    )
    if len(probed) < len(layers):
        return undecided(made, "the probes of these layers were not run")
    best = max(probed, key=lambda layer: probed[layer])
    told = f"of these layers {best} probes best, at {probed[best]:.1f}"
    return made.noted(told) if probed[best] <= AT_CHANCE else undecided(made, f"{told}: not at chance")


def _closer(part: Claim, small: Stage, more: Stage) -> Claim:
    """The distance from the probes with little data minus that with more."""
    probes = small.probes
    if probes is None:
        return part
    if small.place.n_train == more.place.n_train:
        return part.noted("one train size plays both")
    curves = [stage.curve for stage in (small, more)]
    depths = sorted(set(probes.depths) & set(curves[0].depths) & set(curves[1].depths))
    if len(depths) < 3:
        return part.noted(f"{len(depths)} depths were both probed and fine-tuned")
    probed = [fmean(probes.by_depth[depth].test.values()) for depth in depths]
    tuned = [curve.by_seed(depths) for curve in curves]
    distances = [{seed: shape_distance(probed, scores) for seed, scores in by_seed.items()} for by_seed in tuned]
    by_seed = {seed: distance - distances[1][seed] for seed, distance in distances[0].items() if seed in distances[1]}
    # A curve of which no end was learnt has no shape but chance.
    learnt = [Contrast(curve.average([depths[-1]]), curve.average([depths[0]])) for curve in curves]
    best = probes.average([max(depths, key=lambda depth: probes.by_depth[depth].rank)])
    part = part.noted(f"probed with {probes.place.n_train:,} train examples")
    undefined = why_undefined(chain(probed, *tuned[0].values(), *tuned[1].values()), "a curve is flat: it has no shape")
    contrasts = [*learnt, Contrast(best, best)]
    return judged(part, small.subject.evidence, by_seed, CLOSER, contrasts, None, undefined=undefined)

"""K14: whether the conclusions hang on LayerNorms and learning rate of reinitialised layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import inf

import numpy as np

from transfer_atlas.analysis import deviations
from transfer_atlas.analysis.ablations.selection import differing
from transfer_atlas.analysis.claims.claim import Bound, Claim, whole, why_undefined
from transfer_atlas.analysis.claims.comparisons import judged, judged_on
from transfer_atlas.analysis.claims.tamkin2020.subject import (
    LAYERS,
    TASKS,
    Size,
    Stage,
    Subject,
    part_of,
    printed,
    progressive,
)
from transfer_atlas.analysis.evidence import Contrast
from transfer_atlas.analysis.jackknife import jackknife
from transfer_atlas.analysis.published import Published, mean, minus
from transfer_atlas.settings import Surgery

SMALL_CHANGE = Bound(high=2)
NO_GAIN = Bound(high=0)
WIDER = Bound(low=0, open=True)


def k14(subject: Subject) -> Claim:
    """LayerNorm and learning rate of reinitialised layers change nothing."""
    norms = twins(subject, "layer_norm", lambda reset, keep: reset.layer_norm == "reset")
    rates = twins(subject, "rate_factor", lambda usual, high: usual.rate_factor == 1 < high.rate_factor)
    claim = subject.claim(
        "K14",
        "With 5,000 examples, keeping or resetting the LayerNorms of reinitialised layers makes at most 2 points for "
        "most numbers of layers kept; a higher learning rate for reinitialised layers gives no better mean and a "
        "larger sd over seeds",
        "direction: notes on the paper, from memory; 2 points: ours",
        None,
    )
    parts = []
    for name in TASKS:
        where = (claim, subject, name, [Size.ONLY])
        parts += part_of(*where, norms, _small_change, SMALL_CHANGE, named("LayerNorm kept or reset", norms))
        published = mean(
            [
                minus(printed(name, Size.MIDDLE, k, ", 5x learning rate"), printed(name, Size.MIDDLE, k))
                for k in range(LAYERS)
            ]
        )
        told = named("higher rate, mean", rates)
        parts += part_of(*where, rates, _no_gain(published), NO_GAIN, told, published)
        parts += part_of(*where, rates, _wider, WIDER, named("higher rate, sd", rates))
    return whole(claim, parts)


def twins(subject: Subject, field: str, ordered: Callable[[Surgery, Surgery], bool]) -> Sequence[str | None]:
    """Two progressive surgeries that were run and differ in one setting only, the paper's usual one first.

    Those of which one is the subject's come first; (None, None) if there are no such two.
    """
    names = [] if subject.model is None else progressive(subject.known, subject.model)
    entries: Mapping[str, Surgery] = subject.known.surgeries
    pairs = [
        (one, other)
        for one in names
        for other in names
        if differing(entries[one], entries[other]) == [field] and ordered(entries[one], entries[other])
    ]
    return min(pairs, key=lambda pair: subject.progressive not in pair, default=(None, None))


def mean_difference(part: Claim, stage: Stage, bound: Bound, published: Published | None) -> Claim:
    """The second surgery minus the first, on average over the depths at which both reinitialise something."""
    first, second = stage.curves
    depths = _depths(stage)
    if not depths:
        return part
    contrast = Contrast(second.average(depths), first.average(depths))
    part = part.noted(f"mean over {len(depths)} depths")
    return judged(part, stage.subject.evidence, contrast.by_seed, bound, [contrast], published)


def named(what: str, surgeries: Sequence[str | None]) -> str:
    """What a part is about, with the surgeries that were compared."""
    return what if None in surgeries else f"{what} ({surgeries[1]} against {surgeries[0]})"


def _small_change(part: Claim, stage: Stage) -> Claim:
    """The median over depths of the change of the mean over seeds, whichever way."""
    reset, keep = stage.curves
    depths = _depths(stage)
    if not depths:
        return part
    left, right = keep.by_seed(depths), reset.by_seed(depths)
    changes = [np.subtract(left[seed], right[seed]) for seed in left if seed in right]

    def change(seeds: Sequence[np.ndarray]) -> float:
        """Of these seeds' changes, each of shape (depths,)."""
        return float(np.median(np.abs(np.mean(seeds, axis=0))))

    contrast = Contrast(keep.average(depths), reset.average(depths))
    part = part.noted(f"median over {len(depths)} depths of the absolute mean difference, jackknife over seeds")
    found = jackknife(change, changes, within=(0, inf))
    return judged_on(part, stage.subject.evidence, found, SMALL_CHANGE, [contrast], None)


def _no_gain(published: Published | None) -> Callable[[Claim, Stage], Claim]:
    def judge(part: Claim, stage: Stage) -> Claim:
        return mean_difference(part, stage, NO_GAIN, published)

    return judge


def _wider(part: Claim, stage: Stage) -> Claim:
    depths = _depths(stage)
    if not depths:
        return part
    usual, high = ([list(curve.by_depth[depth].test.values()) for depth in depths] for curve in stage.curves)
    first, second = (curve.average(depths) for curve in stage.curves)
    part = replace(part, unit="log ratio of sds").noted(f"mean over {len(depths)} depths, which share their seeds")
    found = deviations.log_ratio(high, usual)
    undefined = why_undefined(chain(*usual, *high), "at some depth the same score at every seed")
    contrasts = [Contrast(second, first)]
    return judged_on(part, stage.subject.evidence, found, WIDER, contrasts, None, undefined=undefined)


def _depths(stage: Stage) -> list[int]:
    """Depths that all surgeries were run at, but for the untouched encoder, which is the same run."""
    shared = set.intersection(*(set(curve.depths) for curve in stage.curves))
    return sorted(shared - {stage.subject.layers})

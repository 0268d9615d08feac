"""K14 and K15: whether the conclusions hang on how layers are reinitialised and trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median

from transfer_atlas.analysis import deviations
from transfer_atlas.analysis.claims.claim import Bound, Claim, Verdict, whole
from transfer_atlas.analysis.claims.comparisons import judged, judged_on
from transfer_atlas.analysis.claims.tamkin2020 import curves, probing
from transfer_atlas.analysis.claims.tamkin2020.subject import (
    LAYERS,
    TASKS,
    Size,
    Stage,
    Subject,
    differing,
    part_of,
    printed,
    progressive,
)
from transfer_atlas.analysis.evidence import Contrast
from transfer_atlas.analysis.published import Published, mean, minus
from transfer_atlas.settings import Surgery

SMALL_CHANGE = Bound(high=2)
NO_GAIN = Bound(high=0)
WIDER = Bound(low=0, open=True)
NO_DIFFERENCE = Bound(-1, 1)
JUDGED_AGAIN = (curves.k1, curves.k2, curves.k3, curves.k4, curves.k5, curves.k6, probing.k7)


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
        where = (claim, subject, name, [Size.MIDDLE])
        parts += part_of(*where, norms, _small_change, SMALL_CHANGE, _named("LayerNorm kept or reset", norms))
        published = mean(
            [
                minus(printed(name, Size.MIDDLE, k, ", 5x learning rate"), printed(name, Size.MIDDLE, k))
                for k in range(LAYERS)
            ]
        )
        told = _named("higher rate, mean", rates)
        parts += part_of(*where, rates, _no_gain(published), NO_GAIN, told, published)
        parts += part_of(*where, rates, _wider, WIDER, _named("higher rate, sd", rates))
    return whole(claim, parts)


def k15(subject: Subject) -> Claim:
    """Does all this survive the initialisation that the paper describes?"""
    schemes = initialisations(subject)
    claim = subject.claim(
        "K15",
        "K1 to K7 hold with new weights on the scale that the paper describes (truncated_normal) as with those of the "
        "released code (authors_code, 38 times smaller)",
        "new: the authors did not test this; K1 to K7 keep their verdicts wherever both are decided. Mean differences "
        "stand beside and decide nothing; within 1 point is none (ours)",
        None,
    )
    if None in schemes:
        return claim
    names = [name for name in schemes if name is not None]
    entries = [subject.known.surgeries[name] for name in names]
    claim = claim.noted(f"{names[1]} against {names[0]}")
    if others := [
        f"{key} {getattr(entries[1], key)} for {getattr(entries[0], key)}" for key in _besides_init(*entries)
    ]:
        claim = claim.noted(f"which also differ in {', '.join(others)}")
    again = [_kept(claim, *(judge(replace(subject, progressive=name)) for name in names)) for judge in JUDGED_AGAIN]
    apart: list[Claim] = []
    for name in TASKS:
        for size in Size:
            asked = part_of(claim, subject, name, [size], names, _no_difference, NO_DIFFERENCE, "mean over depths")
            places = [(part.tasks, part.n_train) for part in apart if part.verdict != "not run"]
            apart += [part for part in asked if (part.tasks, part.n_train) not in places]
    verdict: Verdict = "inconclusive"
    if any(part.verdict == "contradicted" for part in again):
        verdict = "contradicted"
    elif any(part.verdict == "supported" for part in again):
        verdict = "supported"
    elif all(part.verdict == "not run" for part in again):
        verdict = "not run"
    kept, flipped = (sum(part.verdict == wanted for part in again) for wanted in ("supported", "contradicted"))
    told = f"of K1 to K7 {kept} keep their verdict, {flipped} flip"
    told += f", {len(again) - kept - flipped} are not decided under both"
    return replace(whole(claim, [*again, *apart]), verdict=verdict).noted(told)


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


def initialisations(subject: Subject) -> tuple[str | None, str | None]:
    """The progressive surgeries of both scales of initialisation: authors_code, and what is otherwise like it."""
    names = [] if subject.model is None else progressive(subject.known, subject.model)
    entries = {name: subject.known.surgeries[name] for name in names}
    usual = [name for name in names if entries[name].rate_factor == 1]
    small = [name for name in usual if entries[name].init == "authors_code"]
    wide = [name for name in usual if entries[name].init == "truncated_normal"]
    authors = min(small, key=lambda name: name != subject.progressive, default=None)
    if authors is None:
        return None, next(iter(wide), None)
    return authors, min(wide, key=lambda name: bool(_besides_init(entries[authors], entries[name])), default=None)


def _kept(claim: Claim, authors: Claim, truncated: Claim) -> Claim:
    """A part: whether a claim has the same verdict under both initialisations."""
    verdicts = [authors.verdict, truncated.verdict]
    decided = [verdict in ("supported", "contradicted") for verdict in verdicts]
    verdict: Verdict = "inconclusive"
    if all(decided):
        verdict = "supported" if verdicts[0] == verdicts[1] else "contradicted"
    elif verdicts == ["not run", "not run"]:
        verdict = "not run"
    return replace(
        claim,
        part=authors.id,
        verdict=verdict,
        bound="same verdict",
        tasks=truncated.tasks,
        recipes=truncated.recipes,
        n_train=truncated.n_train,
        stand_ins=truncated.stand_ins,
        note=f"{verdicts[0]} under authors_code, {verdicts[1]} under truncated_normal",
    )


def _small_change(part: Claim, stage: Stage) -> Claim:
    """The median over depths of the change, whichever way, at each seed: noise between runs counts as change."""
    reset, keep = stage.curves
    depths = _depths(stage)
    if not depths:
        return part
    left, right = keep.by_seed(depths), reset.by_seed(depths)
    by_seed = {
        seed: median(abs(one - other) for one, other in zip(left[seed], right[seed], strict=True))
        for seed in left
        if seed in right
    }
    contrast = Contrast(keep.average(depths), reset.average(depths))
    part = part.noted(f"median over {len(depths)} depths of the absolute difference")
    return judged(part, stage.subject.evidence, by_seed, SMALL_CHANGE, [contrast], None)


def _no_gain(published: Published | None) -> Callable[[Claim, Stage], Claim]:
    def judge(part: Claim, stage: Stage) -> Claim:
        return _mean_difference(part, stage, NO_GAIN, published)

    return judge


def _no_difference(part: Claim, stage: Stage) -> Claim:
    return _mean_difference(part, stage, NO_DIFFERENCE, None)


def _mean_difference(part: Claim, stage: Stage, bound: Bound, published: Published | None) -> Claim:
    """The second surgery minus the first, on average over the depths at which both reinitialise something."""
    first, second = stage.curves
    depths = _depths(stage)
    if not depths:
        return part
    contrast = Contrast(second.average(depths), first.average(depths))
    part = part.noted(f"mean over {len(depths)} depths")
    return judged(part, stage.subject.evidence, contrast.by_seed, bound, [contrast], published)


def _wider(part: Claim, stage: Stage) -> Claim:
    depths = _depths(stage)
    if not depths:
        return part
    usual, high = ([list(curve.by_depth[depth].test.values()) for depth in depths] for curve in stage.curves)
    first, second = (curve.average(depths) for curve in stage.curves)
    part = replace(part, unit="log ratio of sds").noted(f"pooled over {len(depths)} depths")
    evidence = stage.subject.evidence
    return judged_on(part, evidence, deviations.log_ratio(high, usual), WIDER, [Contrast(second, first)], None)


def _depths(stage: Stage) -> list[int]:
    """Depths that all surgeries were run at, but for the untouched encoder, which is the same run."""
    shared = set.intersection(*(set(curve.depths) for curve in stage.curves))
    return sorted(shared - {stage.subject.layers})


def _besides_init(one: Surgery, other: Surgery) -> list[str]:
    return [name for name in differing(one, other) if name != "init"]


def _named(what: str, surgeries: Sequence[str | None]) -> str:
    """What a part is about, with the surgeries that were compared."""
    return what if None in surgeries else f"{what} ({surgeries[1]} against {surgeries[0]})"

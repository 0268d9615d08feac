"""K8 and K12: blocks of three layers, reinitialised or alone preserved."""

from __future__ import annotations

from transfer_atlas.analysis.claims.claim import Bound, Claim, undecided, whole
from transfer_atlas.analysis.claims.comparisons import judged
from transfer_atlas.analysis.claims.tamkin2020.subject import (
    COLA,
    QNLI,
    SST2,
    TASKS,
    Size,
    Stage,
    Subject,
    part_of,
)
from transfer_atlas.analysis.evidence import Contrast
from transfer_atlas.analysis.layer_evidence import Curve

# What a block preserved alone must lose to be no substitute for the encoder.
LOSS = Bound(low=5)
MORE = Bound(low=0, open=True)


def k8(subject: Subject) -> Claim:
    """What can be read off layers does not make them enough."""
    preserve = subject.run_with("preserve")
    claim = subject.claim(
        "K8",
        "High probing scores are not sufficient: with 5,000 examples, preserving only the three layers in a row that "
        "probe best is at least 5 points worse than fine-tuning all of BERT",
        "direction: abstract of the paper; 5 points: ours",
        preserve,
    )
    parts = []
    for name in TASKS:
        parts += part_of(claim, subject, name, [Size.ONLY], [preserve], _loses, LOSS)
    return whole(claim, parts)


def k12(subject: Subject) -> Claim:
    """Where the pretrained layers matter most differs between tasks, but it is never the top."""
    block = subject.run_with("block")
    claim = subject.claim(
        "K12",
        "With 5,000 examples, reinitialising the lowest three layers hurts QNLI more than the highest three; on SST-2 "
        "and CoLA the three that hurt most are never the highest",
        "direction: notes on the paper",
        block,
    )
    lowest = part_of(claim, subject, QNLI, [Size.ONLY], [block], _lowest_hurts_more, MORE, "lowest against highest")
    others = []
    for name in (SST2, COLA):
        others += part_of(claim, subject, name, [Size.ONLY], [block], _worst_is_below, MORE, "worst against highest")
    return whole(claim, lowest + others)


def _loses(part: Claim, stage: Stage) -> Claim:
    curve, full, probes = stage.curve, stage.full, stage.probes
    width = _width(stage)
    if full is None or probes is None:
        return part
    known = {
        lowest: [probes.by_depth[layer].rank for layer in range(lowest, lowest + width)]
        for lowest in curve.depths
        if all(layer in probes.by_depth for layer in range(lowest, lowest + width))
    }
    if not known:
        return part
    best = max(known, key=lambda lowest: sum(known[lowest]))
    part = part.noted(f"layers {best} to {best + width - 1} probe best, chosen on validation of {len(known)} blocks")
    contrast = Contrast(full, curve.average([best]))
    made = judged(part, stage.subject.evidence, contrast.by_seed, LOSS, [contrast], None)
    # Another block might probe better.
    return _of_all(made, stage, len(known), "both preserved and probed")


def _lowest_hurts_more(part: Claim, stage: Stage) -> Claim:
    """The score without the highest layers minus that without the lowest."""
    curve, highest = stage.curve, _highest(stage)
    if _width(stage) >= highest:
        return part.noted("the lowest and the highest layers are in part the same")
    if 1 not in curve.depths or highest not in curve.depths:
        return part
    return _judged(part, stage, curve, highest, 1)


def _worst_is_below(part: Claim, stage: Stage) -> Claim:
    """The score without the highest layers minus that without those which are missed most, as validation has it."""
    curve, highest = stage.curve, _highest(stage)
    others = [lowest for lowest in curve.depths if lowest != highest]
    if highest not in curve.depths or not others:
        return part
    worst = min(others, key=lambda lowest: curve.by_depth[lowest].rank)
    width = _width(stage)
    told = f"layers {worst} to {worst + width - 1} are missed most, chosen on validation of {len(others)} other blocks"
    # Another block might be missed more.
    return _of_all(_judged(part.noted(told), stage, curve, highest, worst), stage, len(curve.depths), "run")


def _judged(part: Claim, stage: Stage, curve: Curve, left: int, right: int) -> Claim:
    contrast = Contrast(curve.average([left]), curve.average([right]))
    return judged(part, stage.subject.evidence, contrast.by_seed, MORE, [contrast], None)


def _of_all(part: Claim, stage: Stage, run: int, how: str) -> Claim:
    """The part, undecided unless it was chosen among all blocks of the width."""
    blocks = _highest(stage)
    return part if run == blocks else undecided(part, f"{run} of {blocks} blocks were {how}")


def _width(stage: Stage) -> int:
    width = stage.subject.known.surgeries[stage.surgeries[0]].width
    assert width is not None, "a block has a width"
    return width


def _highest(stage: Stage) -> int:
    """The lowest layer of the highest block."""
    return stage.subject.layers - _width(stage) + 1

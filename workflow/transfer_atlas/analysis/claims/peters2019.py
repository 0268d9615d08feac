"""Claims P1 to P15 of Peters, Ruder & Smith 2019, "To Tune or Not to Tune?".

Gains are fine-tuning minus feature extraction in points. Thresholds come from the paper's Table 2 where a claim does
not say otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pandas as pd

from transfer_atlas.analysis.claims.claim import Bound, Claim, Verdict, bounded, undecided, whole
from transfer_atlas.analysis.claims.comparisons import (
    NEITHER_LEARNT,
    Groups,
    about,
    judged,
    mean_of,
    not_learnt,
    on_average,
    parts_of,
    players,
    together,
    with_published,
)
from transfer_atlas.analysis.claims.layers import (
    Diagnosis,
    at_every_layer,
    controls,
    diagnosed,
    layer_at,
    models_in,
    points,
)
from transfer_atlas.analysis.constant_answers import neither_better
from transfer_atlas.analysis.diagnostics import FINETUNED, PRETRAINED, Curves, largest
from transfer_atlas.analysis.domain import correlate
from transfer_atlas.analysis.evidence import Condition, Contrast, Evidence, System, extract, finetune
from transfer_atlas.analysis.intervals import NAN, SIGNIFICANCE, Estimate, correlation_interval, estimate
from transfer_atlas.analysis.published import Published, find, mean, minus
from transfer_atlas.probing.names import MUTUAL_INFORMATION, PROBE

PAPER = "peters2019"
ELMO, BERT = "ELMo", "BERT-base"
NER, SST2, MNLI, SICKE, SICKR, MRPC, STSB, COLA = (
    *("CoNLL-2003 NER", "SST-2", "MNLI", "SICK-E", "SICK-R", "MRPC", "STS-B", "CoLA"),
)
TASKS = (NER, SST2, MNLI, SICKE, SICKR, MRPC, STSB)
PAIR_TASKS = (MNLI, SICKE, SICKR, MRPC, STSB)
SMALL_PAIR_TASKS = (SICKE, SICKR, MRPC, STSB)
SIMILARITY_TASKS = (SICKR, MRPC, STSB)

VERIFIED = "Table 2 (verified)"
DIRECTION = "direction: notes on the paper; no verified number"
# The difference from which Table 2 colours a cell: what the paper takes for worth marking.
MARKED = 1.0
# Bits of mutual information up to here count as none. Ours: the figure's numbers are in no source.
NEAR_ZERO = 0.05


def claims(
    evidence: Evidence, domains: pd.DataFrame | None = None, diagnostics: pd.DataFrame | None = None
) -> list[Claim]:
    """All claims of the paper, in its order: one for each system (or pair of systems) that plays the paper's.

    Args:
        domains: the gains by group of `analysis.domain`, for P12.
        diagnostics: the table of `analysis.diagnostics`, for P13 to P15.
    """
    return [
        *(claim for judge in (p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11) for claim in judge(evidence)),
        *p12(evidence, domains),
        *(claim for judge in (p13, p14, p15) for claim in judge(evidence, diagnostics)),
    ]


# --- P1 to P7: Table 2 ---------------------------------------------------------------------------------------


def p1(evidence: Evidence) -> list[Claim]:
    """Both ways are alike where one text is read."""
    claim = _claim("P1", "NER and SST-2: fine-tuning and feature extraction differ by at most 1 point", VERIFIED)
    within = Bound(-1, 1)
    return [
        _about_gains(claim, evidence, system, {NER: within, SST2: within}) for system in players(evidence, ELMO, BERT)
    ]


def p2(evidence: Evidence) -> list[Claim]:
    """ELMo is better extracted for pairs."""
    claim = _claim(
        "P2",
        "ELMo: fine-tuning is at least 1 point below feature extraction on MNLI, SICK-E, SICK-R and MRPC, and not "
        "above on STS-B",
        VERIFIED,
    )
    bounds = {**dict.fromkeys((MNLI, SICKE, SICKR, MRPC), Bound(high=-1)), STSB: Bound(high=0)}
    return [_about_gains(claim, evidence, system, bounds) for system in players(evidence, ELMO)]


def p3(evidence: Evidence) -> list[Claim]:
    """BERT is better fine-tuned for similarity of pairs."""
    claim = _claim(
        "P3",
        "BERT: fine-tuning is at least 2 points above feature extraction on SICK-R, MRPC and STS-B, and more than 3 on "
        "MRPC and STS-B",
        VERIFIED,
    )
    # At least 2 follows from more than 3.
    bounds = {SICKR: Bound(low=2), **dict.fromkeys((MRPC, STSB), Bound(low=3, open=True))}
    return [_about_gains(claim, evidence, system, bounds) for system in players(evidence, BERT)]


def p4(evidence: Evidence) -> list[Claim]:
    """BERT is about as good either way for entailment."""
    claim = _claim(
        "P4",
        "BERT: fine-tuning and feature extraction differ by at most 0.5 points on MNLI; fine-tuning is 0 to 2 points "
        "above on SICK-E",
        VERIFIED,
    )
    bounds = {MNLI: Bound(-0.5, 0.5), SICKE: Bound(0, 2)}
    return [_about_gains(claim, evidence, system, bounds) for system in players(evidence, BERT)]


def p5(evidence: Evidence) -> list[Claim]:
    """BERT gains from fine-tuning on similarity, more than elsewhere."""
    claim = _claim(
        "P5",
        "BERT: the mean gain of fine-tuning on SICK-R, MRPC and STS-B is at least 3 points above that on the other "
        "four tasks",
        VERIFIED,
    )
    others = tuple(name for name in TASKS if name not in SIMILARITY_TASKS)
    published = minus(printed_gain(BERT, SIMILARITY_TASKS), printed_gain(BERT, others))
    found = []
    for system in players(evidence, BERT):
        here = with_published(about(claim, evidence, system), published)
        near, far = (_gains_of(evidence, system, names) for names in (SIMILARITY_TASKS, others))
        if not together(near) or not together(far):
            found.append(here)
            continue
        left, right = mean_of(together(near)), mean_of(together(far))
        by_seed = {seed: left[seed] - right[seed] for seed in left if seed in right}
        missing = [name for name, group in {**near, **far}.items() if not group]
        contrasts = [*together(near), *together(far)]
        found.append(judged(here, evidence, by_seed, Bound(low=3), contrasts, published, missing))
    return found


def p6(evidence: Evidence) -> list[Claim]:
    """For pairs, what is better flips with the model."""
    claim = _claim(
        "P6",
        "Pair tasks: wherever both models differ by more than 1 point between fine-tuning and feature extraction, the "
        "signs are opposite; on average ELMo loses by fine-tuning and BERT gains",
        VERIFIED,
    )
    found = []
    for elmo, bert in _pairs(evidence):
        here = about(claim, evidence, elmo, bert)
        losing, gaining = (_gains_of(evidence, system, PAIR_TASKS) for system in (elmo, bert))
        parts = _signs(here, evidence, losing, gaining)
        for paper_name, gains, bound in (
            (ELMO, losing, Bound(high=0, open=True)),
            (BERT, gaining, Bound(low=0, open=True)),
        ):
            part = replace(here, part=f"mean gain of {paper_name}")
            published = printed_gain(paper_name, PAIR_TASKS)
            parts.append(on_average(part, evidence, gains, bound, published))
        found.append(whole(here, parts))
    return found


def p7(evidence: Evidence) -> list[Claim]:
    """Frozen BERT is at least as good as frozen ELMo."""
    claim = _claim(
        "P7",
        "Feature extraction from BERT is at least as good as from ELMo, on all tasks but SICK-E",
        VERIFIED,
        "SICK-E is left out: the paper has BERT 1.5 points below ELMo there",
    )
    found = []
    for elmo, bert in _pairs(evidence):
        here = about(claim, evidence, elmo, bert)
        parts = []
        for name in (name for name in TASKS if name != SICKE):
            contrasts = evidence.contrasts(name, (bert, extract), (elmo, extract))
            published = minus(printed("Table 2", BERT, name, "extract"), printed("Table 2", ELMO, name, "extract"))
            parts += parts_of(here, evidence, name, contrasts, Bound(low=0), published)
        found.append(whole(here, parts))
    return found


# --- P8 to P11: pair interaction and extra parameters --------------------------------------------------------


def p8(evidence: Evidence) -> list[Claim]:
    """Fine-tuned ELMo needs interaction between the two texts."""
    claim = _claim(
        "P8",
        "ELMo, fine-tuned: cross-sentence bi-attention is better than none on SICK-E, SICK-R, MRPC and STS-B",
        f"{DIRECTION}; 'all four' from memory",
    )
    found = []
    for system in players(evidence, ELMO):
        here = about(claim, evidence, system)
        left, right = ((system, with_head(finetune, head)) for head in ("bi_attention", "linear"))
        parts = []
        for name in SMALL_PAIR_TASKS:
            contrasts = evidence.contrasts(name, left, right)
            settings = ("finetune, bi-attention", "finetune, no bi-attention")
            published = minus(*(printed("Table 3", ELMO, name, setting) for setting in settings))
            parts += parts_of(here, evidence, name, contrasts, Bound(low=0, open=True), published)
        found.append(whole(here, parts))
    return found


def p9(evidence: Evidence) -> list[Claim]:
    """Extracted BERT needs to read both texts at once."""
    claim = _claim(
        "P9",
        "BERT, extracted: encoding both texts of a pair jointly is better than separately, on average over SICK-E, "
        "SICK-R, MRPC and STS-B",
        DIRECTION,
    )
    published = mean(
        [
            minus(printed("Table 4", BERT, name, "extract, joint"), printed("Table 4", BERT, name, "extract, separate"))
            for name in SMALL_PAIR_TASKS
        ]
    )
    found = []
    for system in players(evidence, BERT):
        here = about(claim, evidence, system)
        left, right = ((system, extracted_pairs(encoding)) for encoding in ("joint", "separate"))
        groups = {name: evidence.contrasts(name, left, right) for name in SMALL_PAIR_TASKS}
        found.append(on_average(here, evidence, groups, Bound(low=0, open=True), published))
    return found


def p10(evidence: Evidence) -> list[Claim]:
    """Extraction needs parameters of the task's own."""
    claim = _claim(
        "P10",
        "NER, extracted: a biLSTM-CRF is better than a CRF alone by a wide margin",
        "direction: notes on the paper; wide: more than 1 point, what Table 2 marks (about 3.6 F1 from memory)",
    )
    published = minus(*(printed("Table 5", ELMO, NER, f"extract, {head}") for head in ("biLSTM-CRF", "CRF")))
    found = []
    for system in players(evidence, ELMO, BERT):
        here = about(claim, evidence, system)
        left, right = ((system, with_head(extract, head)) for head in ("bilstm_crf", "crf"))
        contrasts = evidence.contrasts(NER, left, right)
        found.append(whole(here, parts_of(here, evidence, NER, contrasts, Bound(MARKED, open=True), published)))
    return found


def p11(evidence: Evidence) -> list[Claim]:
    """Fine-tuning does not; and it ends where extraction ends."""
    claim = _claim(
        "P11",
        "NER, fine-tuned: a biLSTM-CRF is no better than a CRF alone; gradual unfreezing is no worse than none (CRF); "
        "the best fine-tuning and the best feature extraction differ by at most 0.5 points",
        f"{DIRECTION}; 0.5 by the notes' wording",
    )
    crf, lstm = (with_head(finetune, head) for head in ("crf", "bilstm_crf"))
    gradual, at_once = (unfreezing(crf, gradually) for gradually in (True, False))
    best = "finetune, CRF, gradual unfreezing"
    questions = [
        ("biLSTM-CRF minus CRF", lstm, crf, Bound(high=0), ("finetune, biLSTM-CRF, gradual unfreezing", best)),
        ("gradual unfreezing minus none", gradual, at_once, Bound(low=0), (best, "finetune, CRF")),
        ("fine-tuning minus extraction", finetune, extract, Bound(-0.5, 0.5), (best, "extract, biLSTM-CRF")),
    ]
    found = []
    for system in players(evidence, ELMO, BERT):
        here = about(claim, evidence, system)
        parts = []
        for name, left, right, bound, settings in questions:
            contrasts = evidence.contrasts(NER, (system, left), (system, right))
            published = minus(*(printed("Table 5", ELMO, NER, setting) for setting in settings))
            parts += parts_of(here, evidence, name, contrasts, bound, published)
        found.append(whole(here, parts))
    return found


def with_head(method: Condition, *heads: str) -> Condition:
    """Recipes of a method with one of these heads."""
    return lambda recipe: method(recipe) and recipe.head in heads


def extracted_pairs(encoding: Literal["joint", "separate"]) -> Condition:
    """Extraction recipes that encode the texts of a pair so."""
    return lambda recipe: extract(recipe) and recipe.pairs == encoding


def unfreezing(among: Condition, gradually: bool) -> Condition:
    """Those of the recipes that unfreeze layer by layer, or train all from the start."""
    return lambda recipe: among(recipe) and (recipe.unfreeze_epochs is not None) == gradually


# --- P12: domain ---------------------------------------------------------------------------------------------


def p12(evidence: Evidence, domains: pd.DataFrame | None) -> list[Claim]:
    """How far a genre is from the pretraining corpus does not say what fine-tuning gains there."""
    claim = _claim(
        "P12",
        "BERT, MNLI: over genres, the divergence from the pretraining corpus and the gain of fine-tuning are not "
        "significantly correlated (p > 0.05)",
        "p from the notes on the paper",
    )
    found = []
    for system in players(evidence, BERT, others=models_in(domains)):
        here = about(claim, evidence, system)
        rows = _domain_rows(evidence, system, domains)
        if rows is None:
            found.append(here)
            continue
        over_genres = correlate(rows["jsd"].tolist(), rows["gain"].tolist())
        r, p, n = over_genres.r, over_genres.p, over_genres.n
        # Fewer than five groups have no order that is rare enough: nothing could have come out significant.
        decided = n >= 5 and not math.isnan(p)
        model, task = str(rows["model"].iloc[0]), str(rows["task"].iloc[0])
        recipes = (str(rows["finetune"].iloc[0]), str(rows["extract"].iloc[0]))
        found.append(
            replace(
                here,
                verdict=("supported" if p > SIGNIFICANCE else "contradicted") if decided else "inconclusive",
                estimate=Estimate(r, NAN, n, *correlation_interval(r, n)),
                bound=f"p > {SIGNIFICANCE}",
                tasks=(task,),
                recipes=recipes,
                models=(model,),
                stand_ins=tuple(evidence.stand_ins([model], [task])),
                unit="Pearson's r",
                note=f"Pearson's r over {n} genres, p = {p:.3f}; weak by construction: few genres",
            )
        )
    return found


# --- P13 to P15: layers --------------------------------------------------------------------------------------


def p13(evidence: Evidence, diagnostics: pd.DataFrame | None) -> list[Claim]:
    """Fine-tuning makes every layer better for its task."""
    claim = _claim(
        "P13",
        "BERT: the diagnostic score after fine-tuning is at least that before, at every layer (CoLA, SST-2, MRPC, "
        "STS-B)",
        DIRECTION,
    )

    def part(name: str, curves: Curves, constant: float | None) -> Claim:
        changes, unlearnt = {}, []
        for layer in curves.layers:
            sides = [points(curves.at(state, layer)) for state in (PRETRAINED, FINETUNED)]
            changes[layer] = estimate(list(points(curves.change(FINETUNED, PRETRAINED, layer)).values()))
            if neither_better(sides, constant):
                unlearnt.append(layer)
        return at_every_layer(replace(claim, part=name), changes, Bound(low=0), unlearnt)

    wanted = {name: [part] for name in (COLA, SST2, MRPC, STSB)}
    return diagnosed(claim, evidence, diagnostics, PROBE, BERT, wanted)


def p14(evidence: Evidence, diagnostics: pd.DataFrame | None) -> list[Claim]:
    """Sentence tasks need the top of the pretrained encoder, pair tasks do not."""
    claim = _claim(
        "P14",
        "BERT, pretrained: from a third of the layers (4 of 12) to the last the diagnostic score rises on CoLA and "
        "SST-2 and stays flat on MRPC and STS-B",
        "direction: notes on the paper; flat: within 1 point, what Table 2 marks (ours)",
    )

    def part(bound: Bound) -> Diagnosis:
        def judge(name: str, curves: Curves, constant: float | None) -> Claim:
            low, last = layer_at(1 / 3, curves.layers), curves.layers[-1]
            before, after = (points(curves.at(PRETRAINED, layer)) for layer in (low, last))
            rise = estimate([after[seed] - before[seed] for seed in after if seed in before])
            here = bounded(replace(claim, part=name, note=f"layer {last} minus layer {low}"), rise, bound)
            if here.verdict == "not run" or not neither_better([before, after], constant):
                return here
            return undecided(here, NEITHER_LEARNT)

        return judge

    rises, flat = part(Bound(low=0, open=True)), part(Bound(-MARKED, MARKED))
    wanted = {COLA: [rises], SST2: [rises], MRPC: [flat], STSB: [flat]}
    return diagnosed(claim, evidence, diagnostics, PROBE, BERT, wanted)


def p15(evidence: Evidence, diagnostics: pd.DataFrame | None) -> list[Claim]:
    """Fine-tuning puts the labels into the states, and where."""
    claim = _claim(
        "P15",
        "BERT: mutual information of states and labels is near 0 before fine-tuning (but for the last layer on SST-2) "
        "and higher after; the rise is in the last layers on CoLA and SST-2, and begins in the middle on MRPC",
        "direction: notes on the paper; near 0: up to 0.05 bits; last layers: less than half of the rise is there at "
        "two thirds of the layers (ours)",
    )
    claim = replace(claim, unit="bits")

    def before(name: str, curves: Curves, constant: float | None) -> Claim:
        asked = curves.layers if name != SST2 else curves.layers[:-1]
        values = {layer: estimate(list(curves.at(PRETRAINED, layer).values())) for layer in asked}
        here = replace(claim, part=f"{name}, near 0 before", controls=controls(curves, asked))
        return at_every_layer(here, values, Bound(-NEAR_ZERO, NEAR_ZERO))

    def after(name: str, curves: Curves, constant: float | None) -> Claim:
        last = curves.layers[-1]
        rise = curves.change(FINETUNED, PRETRAINED, last)
        here = replace(claim, part=f"{name}, higher after", note=f"layer {last}", controls=controls(curves, [last]))
        return bounded(here, estimate(list(rise.values())), Bound(low=0, open=True))

    def where(name: str, curves: Curves, constant: float | None) -> Claim:
        last, middle = curves.layers[-1], layer_at(2 / 3, curves.layers)
        here = replace(claim, controls=controls(curves, [middle, last]))
        rise, early = (curves.change(FINETUNED, PRETRAINED, layer) for layer in (last, middle))
        if name == MRPC:
            here = replace(here, part=f"{name}, begins in the middle", note=f"rise at layer {middle}")
            return bounded(here, estimate(list(early.values())), Bound(low=0, open=True))
        late = estimate([rise[seed] - 2 * early[seed] for seed in rise if seed in early])
        note = f"rise at layer {last} minus twice that at layer {middle}"
        return bounded(replace(here, part=f"{name}, in the last layers", note=note), late, Bound(low=0, open=True))

    wanted = {name: [before, after, where] for name in (COLA, SST2, MRPC)}
    return diagnosed(claim, evidence, diagnostics, MUTUAL_INFORMATION, BERT, wanted)


# --- shared --------------------------------------------------------------------------------------------------


def _claim(name: str, statement: str, threshold: str, note: str = "") -> Claim:
    return Claim(name, PAPER, statement, "not run", threshold, note=note)


def printed(table: str, model: str, task: str, setting: str) -> Published | None:
    """A number of the paper."""
    return find(PAPER, table, model, task, setting)


def printed_gain(model: str, tasks: Sequence[str]) -> Published | None:
    """The mean gain of fine-tuning over tasks in the paper's Table 2."""
    return mean([printed("Table 2", model, name, "difference") for name in tasks])


def _pairs(evidence: Evidence) -> list[tuple[System, System]]:
    """Each system that plays ELMo with each that plays BERT."""
    return [(elmo, bert) for elmo in players(evidence, ELMO) for bert in players(evidence, BERT)]


def _gains_of(evidence: Evidence, system: System, tasks: Sequence[str]) -> dict[str, list[Contrast]]:
    """Fine-tuning minus extraction by the paper's name of the task."""
    return {name: evidence.contrasts(name, (system, finetune), (system, extract)) for name in tasks}


def _about_gains(claim: Claim, evidence: Evidence, system: System, bounds: Mapping[str, Bound]) -> Claim:
    """A claim that bounds the gain of fine-tuning task by task."""
    claim = about(claim, evidence, system)
    paper_model = evidence.paper_name(system)
    parts = []
    for name, group in _gains_of(evidence, system, tuple(bounds)).items():
        published = printed("Table 2", paper_model, name, "difference") if paper_model else None
        parts += parts_of(claim, evidence, name, group, bounds[name], published)
    return whole(claim, parts)


def _signs(
    claim: Claim,
    evidence: Evidence,
    losing: Groups,
    gaining: Groups,
) -> list[Claim]:
    """A part for each pair task on which both models differ by more than a point, or may."""
    both = [
        (name, elmo, bert)
        for name, group in losing.items()
        for elmo in group
        for bert in gaining[name]
        if elmo.task == bert.task
    ]
    asked = [part for place in both if (part := _sign(claim, evidence, *place)) is not None]
    if asked:
        return asked
    part = replace(claim, part="opposite signs", bound="opposite signs")
    if not both:
        return [part]
    return [replace(part, verdict="inconclusive", note="on no pair task do both models differ by more than 1 point")]


def _sign(claim: Claim, evidence: Evidence, name: str, elmo: Contrast, bert: Contrast) -> Claim | None:
    """Whether the signs of two gains differ; None where a gain is within a point, so that nothing is claimed."""
    estimates = [elmo.estimate, bert.estimate]
    within = [Bound(-1, 1).judge(found) for found in estimates]
    learnt = not not_learnt([elmo, bert])
    if learnt and "supported" in within:
        return None
    left, right = bert.by_seed, elmo.by_seed
    apart = {seed: left[seed] - right[seed] for seed in left if seed in right}
    part = replace(claim, part=f"opposite signs, {name}", note="BERT's gain minus ELMo's")
    judged_apart = judged(part, evidence, apart, Bound(), [bert, elmo], None)
    # With clearly opposite signs it does not matter whether both are beyond a point.
    signs = [(found.low > 0) - (found.high < 0) for found in estimates]
    verdict: Verdict = "inconclusive"
    if not learnt:
        return replace(judged_apart, bound="opposite signs")
    if signs[0] * signs[1] < 0:
        verdict = "supported"
    elif within == ["contradicted", "contradicted"]:
        verdict = "contradicted"
    return replace(judged_apart, bound="opposite signs", verdict=verdict)


def _domain_rows(evidence: Evidence, system: System, domains: pd.DataFrame | None) -> pd.DataFrame | None:
    """The gains by genre of the recipes that speak for the system on MNLI, else on the first task that stands in.

    Of several references the first by name, of several sizes the largest.
    """
    if domains is None:
        return None
    rows = domains[domains["model"].isin(system)]
    playing = [name for name, task in evidence.tasks.items() if task.paper_name == MNLI and name in set(rows["task"])]
    if not playing:
        return None
    task = min(playing, key=lambda name: evidence.tasks[name].stand_in)
    rows = rows[rows["task"] == task]
    rows = rows[rows["reference"] == min(rows["reference"])]
    sizes = [str(size) for size in rows["size"]]
    rows = rows[[size == largest(sizes) for size in sizes]]
    contrast = evidence.contrast(task, (system, finetune), (system, extract))
    chosen = (contrast.left.recipe, contrast.right.recipe) if contrast else None
    recipes = list(zip(rows["finetune"], rows["extract"], strict=True))
    return rows[[pair == (chosen if chosen in recipes else recipes[0]) for pair in recipes]]

"""Tamkin et al. 2020 as a page to read: first whether their conclusions survive the initialisation they meant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from transfer_atlas.analysis import claims_page, markdown
from transfer_atlas.analysis.claims.claim import WHOLE
from transfer_atlas.analysis.claims.tamkin2020 import PAPER
from transfer_atlas.analysis.intervals import SIGNIFICANCE

Row = Mapping[Any, Any]
SENSITIVITY = "K15"
ANSWERS = {
    "supported": "Yes, as far as these runs decide it",
    "contradicted": "No",
    "inconclusive": "Undecided",
}

WHY = """\
The authors' released code draws the weights of reinitialised layers 38 times smaller than the paper describes:
`authors_code` here, the intended scale is `truncated_normal`. They did not test whether it matters. K15 judges their
conclusions K1 to K7 with either, part by part (a task at a train size), at the depths and seeds that were run with
both."""
SCALES_NOT_RUN = """\
Not run: it takes progressive surgeries with `init: authors_code` and with `init: truncated_normal` on a model with
`paper_name: BERT-base`."""
MOVED = """\
What the intended scale does to the score: `truncated_normal` minus `authors_code`, mean over the depths where a layer
is reinitialised, paired by seed, with its 95 % t interval. *Supported* says that the whole interval is within 1 point
of no difference. These decide nothing: a score may move while every conclusion holds."""

CLAIMS = f"""\
**The preliminary numbers are digitised from preliminary plots in the authors' repository; they are not the paper's
final numbers**, and rest on few runs. Thresholds are set from them. Ours minus theirs is like for like only without
{markdown.DAGGER} and where no note tells of another train size or of LayerNorms. Where model or data only stand in
({markdown.DAGGER}), a verdict says whether the *stand-in* does as the paper says of its own; it neither confirms nor
refutes the paper. Estimates have 95 % intervals over seeds unless a note says over what. Parts that were run stand
below their claim."""
COLUMNS = {
    "train examples": claims_page.train_examples,
    "preliminary": claims_page.published,
    "ours minus that": claims_page.beyond_published,
}

GAINS = f"""\
What a layer adds: the score with the lowest layers up to it kept, minus that with one layer less, in points, paired by
seed. Listed are layers whose 95 % interval excludes 0, the largest first; of 20 layers that add nothing about one is
listed by chance. **Bold**: p ≤ {SIGNIFICANCE:g} still after Holm's correction over all comparisons of
`layer_gains.csv`."""
GAINS_NOT_RUN = "Not run: it takes a progressive surgery at two neighbouring depths."
PLACE = ["model", "task", "recipe", "surgery", "n_train"]

CORRELATIONS = """\
Whether the same permutation of the layers acts alike on two tasks (the paper's Table 1, whose numbers are in no source
that we have): correlations of both tasks' mean scores over the permutations that both have, with 95 % intervals, and p
before and after Holm's correction over all pairs."""
CORRELATIONS_NOT_RUN = "Not run: it takes a `permute` surgery on two tasks."


def page(made: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> str:
    """Markdown of the claims, the layers that gain and the permutations.

    Args:
        made: the tables `claims`, `layer_gains` and `permutation_correlations` by name; others are not read.
        labels: names to show, by name of the entry.
    """
    claims = made["claims"][made["claims"]["paper"] == PAPER]
    parts = [
        "# Tamkin et al. 2020: investigating transferability in pretrained language models",
        "## Do the conclusions survive the intended scale of initialisation?",
        WHY,
        *_survival(claims, labels),
        "## Claims",
        CLAIMS,
        claims_page.table(claims[~_mean_differences(claims)], labels, COLUMNS),
        *claims_page.stand_ins(claims, labels),
        "## Which layers gain most",
        *_gains(made["layer_gains"], labels),
        "## Do permutations act alike across tasks?",
        *_correlations(made["permutation_correlations"], labels),
    ]
    return "\n\n".join(parts) + "\n"


def _mean_differences(claims: pd.DataFrame) -> pd.Series:
    """Which rows are K15's mean differences: those of its parts that are about no other claim."""
    return (claims["claim"] == SENSITIVITY) & ~claims["part"].isin([WHOLE, *claims["claim"]])


def _survival(claims: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """An answer for each model, and how far scores move."""
    differences = claims[_mean_differences(claims) | (claims["claim"] == SENSITIVITY) & (claims["part"] == WHOLE)]
    judged = claims_page.groups(differences)
    run = [(whole, parts) for whole, parts in judged if whole["verdict"] != "not run"]
    if not run:
        return [SCALES_NOT_RUN]
    told, rows = [], []
    missing = [markdown.entries(whole["models"], labels) for whole, _ in judged if whole["verdict"] == "not run"]
    for whole, parts in run:
        moved = [part for part in parts if part["n"]]
        model = markdown.entries(whole["models"], labels)
        told.append(_answer(whole, moved, model + claims_page.dagger(whole)))
        rows += [_moved(part, labels) for part in moved]
        missing += [f"{model}: {part['part']}" for part in parts if not part["n"]]
    if rows:
        header = ["our model", "our data", "in the paper", "train examples", "difference", "verdict", "note"]
        told += [MOVED, markdown.table(header, rows)]
    return [*told, *([f"Not run: {'; '.join(missing)}."] if missing else [])]


def _answer(whole: Row, moved: Sequence[Row], model: str) -> str:
    """The verdict with how many parts of K1 to K7 do what, how far scores move, and over how many seeds."""
    known = [part["estimate"] for part in moved if not pd.isna(part["estimate"])]
    span = ""
    if known:
        ends = dict.fromkeys(markdown.number(end, signed=True) for end in (min(known), max(known)))
        span = f" Scores averaged over depths move by {' to '.join(ends)} points, over {_seeds(moved)} (below)."
    return f"**{ANSWERS[whole['verdict']]}**, for {model} (K15 {whole['verdict']}): {whole['note']}.{span}"


def _seeds(moved: Sequence[Row]) -> str:
    counts = sorted({part["n"] for part in moved})
    return f"{' to '.join(map(str, dict.fromkeys([counts[0], counts[-1]])))} seed{'s' if counts[-1] > 1 else ''}"


def _moved(part: Row, labels: Mapping[str, str]) -> list[str]:
    entries = [markdown.entries(part[name], labels) for name in ("models", "tasks")]
    told = [claims_page.train_examples(part), claims_page.estimate(part), part["verdict"] + claims_page.dagger(part)]
    return [*entries, part["part"], *told, part["note"]]


def _gains(gains: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """The layers of each curve whose gain, or loss, is clear."""
    # All of 2,000 examples and 2,000 are the same runs.
    distinct = gains.drop_duplicates([*PLACE, "layer"])
    rows = []
    for place, group in distinct.groupby(PLACE, sort=False):
        *names, n_train = place
        layers = group.sort_values("gain", ascending=False, kind="stable").to_dict("records")
        helping = [_layer(row) for row in layers if row["gain_low"] > 0]
        hurting = [_layer(row) for row in reversed(layers) if row["gain_high"] < 0]
        neither = "no interval" if group["gain_low"].isna().all() else "none"
        seeds = "" if group["gain_n"].isna().all() else str(group["gain_n"].min())
        shown = [labels.get(str(name), str(name)) for name in names]
        lists = [", ".join(found) or neither for found in (helping, hurting)]
        rows.append([*shown, f"{n_train:,}", *lists, str(len(layers)), seeds])
    if not rows:
        return [GAINS_NOT_RUN]
    header = ["model", "data", "recipe", "surgery", "train examples", "layers that clearly gain"]
    return [GAINS, markdown.table([*header, "layers that clearly lose", "layers run", "seeds"], rows)]


def _layer(row: Row) -> str:
    low, gain, high = (markdown.number(100 * row[name], signed=True) for name in ("gain_low", "gain", "gain_high"))
    number = f"**{row['layer']}**" if row["p_holm"] <= SIGNIFICANCE else str(row["layer"])
    return f"{number}: {gain} [{low}, {high}]"


def _correlations(correlations: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    rows = []
    for row in correlations.to_dict("records"):
        names = [labels.get(row[name], row[name]) for name in ("model", "recipe", "surgery")]
        size = f"{int(row['size']):,}" if row["size"].isdigit() else row["size"]
        pair = " and ".join(labels.get(row[name], row[name]) for name in ("task_a", "task_b"))
        told = [cell for kind in ("spearman", "pearson") for cell in _correlation(row, kind)]
        rows.append([*names, size, pair, str(row["permutations"]), *told])
    if not rows:
        return [CORRELATIONS_NOT_RUN]
    header = ["model", "recipe", "surgery", "train examples", "data", "permutations"]
    kinds = [cell for kind in ("Spearman", "Pearson") for cell in (f"{kind}'s r", "p", "p (Holm)")]
    return [CORRELATIONS, markdown.table([*header, *kinds], rows)]


def _correlation(row: Row, kind: str) -> list[str]:
    """A coefficient with its interval, p and the corrected p."""
    if math.isnan(row[kind]):
        return ["undefined", "", ""]
    low, r, high = (markdown.number(row[name], signed=True, digits=2) for name in (f"{kind}_low", kind, f"{kind}_high"))
    interval = "" if math.isnan(row[f"{kind}_low"]) else f" [{low}, {high}]"
    return [r + interval, *(_p(row[f"{kind}_{name}"]) for name in ("p", "p_holm"))]


def _p(value: float) -> str:
    if math.isnan(value):
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

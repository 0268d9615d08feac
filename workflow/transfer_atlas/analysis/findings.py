"""The main findings in words, generated from the numbers.

A difference whose interval includes 0 is called no clear difference; what was not run is called not run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from transfer_atlas.analysis import tables
from transfer_atlas.analysis.intervals import SIGNIFICANCE, estimate
from transfer_atlas.analysis.metrics import METRIC_LABELS

Verdict = Literal["higher", "lower", "unclear", "no interval", "undefined", "no common seeds"]

# A sentence names at most so many comparisons; more are counted, and the largest named.
NAMED = 6
# The share of the gain of all pretrained layers for which the bottom layers are sought.
SHARE = 0.9
# What `surgery_variants` calls a change of the initialisation's scale alone, and the sign that makes its difference one
# of the intended scale minus that of the authors' code.
SCALES = {"init: truncated_normal for authors_code": 1, "init: authors_code for truncated_normal": -1}


@dataclass(frozen=True)
class Comparison:
    """One comparison of two sides: where, by how much, how sure."""

    where: str
    left: str
    right: str
    metric: str
    n_train: int
    difference: float
    low: float
    high: float
    n: int
    n_left: int
    n_right: int
    p_holm: float
    verdict: Verdict

    def outcome(self) -> str:
        """What came out, with interval and number of seeds."""
        metric = METRIC_LABELS.get(self.metric, self.metric)
        seeds = f"n = {self.n}"
        if not self.n == self.n_left == self.n_right:
            seeds += f" pairs of {self.n_left} and {self.n_right} seeds"
        if self.verdict == "no common seeds":
            return f"{self.left} and {self.right} have no seed in common"
        if self.verdict == "undefined":
            return f"undefined, because the {metric} of a run is undefined ({seeds})"
        if self.verdict == "no interval":
            return f"{self.left} minus {self.right} is {self.difference:+.3f} {metric}, no interval ({seeds})"
        amount = f"{self.difference:+.3f} {metric} [{self.low:+.3f}, {self.high:+.3f}], {seeds}"
        if self.verdict == "unclear":
            return f"no clear difference between {self.left} and {self.right} ({amount})"
        # An interval of its own may exclude 0 where the correction for many comparisons does not.
        holm = "" if self.p_holm <= SIGNIFICANCE else f", Holm p {self.p_holm:.2f}"
        return f"{self.left} {'above' if self.verdict == 'higher' else 'below'} {self.right} ({amount}{holm})"


@dataclass(frozen=True)
class Layers:
    """What the pretrained layers give at one train size."""

    most: int
    gain: Comparison
    enough: int | None
    """The fewest bottom layers from which on `SHARE` of the gain is reached; None where the gain is not clear."""
    largest: bool
    """Whether this is the largest train size of its task."""


@dataclass(frozen=True)
class Findings:
    """Findings as lines of text and as plain data of the same."""

    lines: list[str]
    data: dict[str, Any]


def find(made: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Findings:
    """Say what the tables (of `tables` and `ablations`, by name) show, in at most eight lines.

    Args:
        made: `finetune_vs_extract`, `intermediate`, `layers_kept`, `surgery_variants` and `permutations`.
        labels: names of entries to names to show.
    """
    methods = _methods(_largest(tables.plain(made["finetune_vs_extract"]), ["finetune", "extract"]), labels)
    transferred = _largest(made["intermediate"], ["recipe"])
    transfers = _transfers(transferred, labels)
    references = _references(tables.plain(made["layers_kept"]), made["surgery_variants"])
    layers = _layers(references, labels)
    scales = _scales(made["surgery_variants"], labels)
    orders = _orders(made["permutations"], labels)
    lines = [
        *_warnings(layers),
        _line("Fine-tune or extract, at the largest size", methods),
        _transfer_line(transferred, transfers),
        _layer_line(layers),
        _line("Scale of the new weights, mean over layers kept", scales),
        *([_line("Order of the layers, mean over permutations", orders)] if orders else []),
        "Differences are means over seeds paired by seed, on the test split, with 95 % t intervals; "
        "'Holm p' is given where the difference is not clear after correction for all comparisons of its table.",
    ]
    data = {
        "finetune_or_extract": {"status": _status(methods), "comparisons": [_plain_data(c) for c in methods]},
        "intermediate": {"status": _status(transfers), "comparisons": [_plain_data(c) for c in transfers]},
        "layers": {
            "status": _status(layers),
            "gains": [
                {
                    **_plain_data(found.gain),
                    "layers": found.most,
                    "layers_for_90_percent": found.enough,
                    "largest_size": found.largest,
                }
                for found in layers
            ],
        },
        "initialisation_scale": {"status": _status(scales), "comparisons": [_plain_data(c) for c in scales]},
        "permutations": {"status": _status(orders), "comparisons": [_plain_data(c) for c in orders]},
        "sentences": lines,
    }
    return Findings(lines, data)


def verdict(difference: float, low: float, high: float, n: int) -> Verdict:
    """What a difference with its interval says."""
    if n == 0:
        return "no common seeds"
    if math.isnan(difference):
        return "undefined"
    if math.isnan(low):
        return "no interval"
    if low > 0:
        return "higher"
    return "lower" if high < 0 else "unclear"


def layers_for_share(gains: Mapping[int, float], share: float = SHARE) -> int:
    """The fewest layers k such that k, and every larger number of layers that was run, reaches the share of the gain.

    `gains` maps layers kept to the gain over keeping none. A single lucky dip into the share does not count.
    """
    depths = sorted(gains)
    enough = depths[-1]
    for depth in reversed(depths):
        if not gains[depth] >= share * gains[depths[-1]]:
            break
        enough = depth
    return enough


def _largest(table: pd.DataFrame, sides: list[str]) -> pd.DataFrame:
    """The rows of the largest train size for each model, intermediate, task and pair of sides."""
    keys = ["model", "intermediate", "task", *sides]
    # Size 2000 and all of 2000 examples are the same runs: once is enough.
    table = table.drop_duplicates([*keys, "n_train"])
    return table[table["n_train"] == table.groupby(keys)["n_train"].transform("max")]


def _methods(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Comparison]:
    found = []
    for row in table.to_dict("records"):
        left, right = (labels.get(row[side], row[side]) for side in ("finetune", "extract"))
        where = _where(row, table, ["model", "intermediate"], labels)
        found.append(_comparison(row, "difference", where, left, right, row["finetune_n"], row["extract_n"]))
    return found


def _transfers(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Comparison]:
    found = []
    for row in table.to_dict("records"):
        recipe, other = (labels.get(row[name], row[name]) for name in ("recipe", "intermediate"))
        where = _where(row, table, ["model"], labels)
        left, right = f"{recipe} after {other}", "alone"
        found.append(_comparison(row, "difference", where, left, right, row["with_n"], row["without_n"]))
    return found


def _transfer_line(table: pd.DataFrame, comparisons: Sequence[Comparison]) -> str:
    """The comparisons in words; of many how often they are clear, and their means over all, settings and families."""
    question = "Intermediate task or not, at the largest size"
    if len(comparisons) <= NAMED:
        return _line(question, comparisons)
    verdicts = [comparison.verdict for comparison in comparisons]
    helped, hurt = (f"{verdicts.count(v)} ({verdicts.count(v) / len(verdicts):.0%})" for v in ("higher", "lower"))
    told = [
        f"of {len(verdicts)} comparisons it helps in {helped} and hurts in {hurt} beyond the noise of seeds",
        f"mean gain over comparisons: all {_mean_gain(table['difference'])}",
    ]
    for kind in ("setting", "family"):
        if table[kind].nunique() > 1:
            told += [f"{name} {_mean_gain(group)}" for name, group in table.groupby(kind)["difference"]]
    if table["beyond_budget"].notna().any():
        told.append(f"over as many updates on the target itself {_mean_gain(table['beyond_budget'])}")
    return f"{question}: {told[0]}; {', '.join(told[1:])}."


def _mean_gain(gains: pd.Series) -> str:
    mean = estimate(gains.dropna().tolist())
    interval = "no interval" if math.isnan(mean.low) else f"[{mean.low:+.3f}, {mean.high:+.3f}]"
    return f"{mean.mean:+.3f} {interval} (n = {mean.n})"


def _scales(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Comparison]:
    """The intended initialisation scale against that of the authors' code, where nothing else was changed."""
    scales = table[table["depth"].isna() & table["changed"].isin(list(SCALES))]
    scales = scales.drop_duplicates(["model", "task", "recipe", "reference", "variant", "n_train"])
    found = []
    for row in scales.to_dict("records"):
        sides = ("variant", "reference")
        if SCALES[row["changed"]] < 0:
            low, high = -row["difference_high"], -row["difference_low"]
            row |= {"difference": -row["difference"], "difference_low": low, "difference_high": high}
            sides = ("reference", "variant")
        where = _where(row, scales, ["model", "recipe"], labels)
        counts = (row[f"{side}_n"] for side in sides)
        found.append(_comparison(row, "difference", where, "the intended scale", "the authors' smaller one", *counts))
    return found


def _orders(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Comparison]:
    """Layers permuted against the untouched encoder: the mean over permutations, by seed."""
    # Where the untouched encoder was not run there is nothing to compare.
    means = table[table["permutation"].isna() & table["full_n"].notna()]
    means = means.drop_duplicates(["model", "task", "recipe", "surgery", "n_train"])
    found = []
    for row in means.to_dict("records"):
        where = _where(row, means, ["model", "recipe", "surgery"], labels)
        sides = "permuted layers", "the usual order"
        found.append(_comparison(row, "difference", where, *sides, row["n"], row["full_n"]))
    return found


def _comparison(
    row: Mapping[Any, Any], column: str, where: str, left: str, right: str, n_left: int, n_right: int
) -> Comparison:
    prefix = column.removesuffix("_over_scratch")
    difference, low, high, p_holm = (float(row[name]) for name in (column, f"{prefix}_low", f"{prefix}_high", "p_holm"))
    n = int(row[f"{prefix}_n"])
    return Comparison(
        where=where,
        left=left,
        right=right,
        metric=row["metric"],
        n_train=int(row["n_train"]),
        difference=difference,
        low=low,
        high=high,
        n=n,
        n_left=int(n_left),
        n_right=int(n_right),
        p_holm=p_holm,
        verdict=verdict(difference, low, high, n),
    )


def _where(row: Mapping[Any, Any], table: pd.DataFrame, others: list[str], labels: Mapping[str, str]) -> str:
    """Task and train size, with those of the `others` of which the table holds more than one."""
    varying = [name for name in others if table[name].nunique() > 1]
    names = [labels.get(row[name], row[name]) for name in ("task", *varying)]
    return f"{', '.join(names)} ({int(row['n_train']):,} examples)"


def _line(question: str, comparisons: Sequence[Comparison]) -> str:
    if not comparisons:
        return f"{question}: not run."
    return f"{question}: {_told(comparisons)}."


def _told(comparisons: Sequence[Comparison], named: Sequence[str] | None = None) -> str:
    """The comparisons in words, or counted where there are too many; `named` are words to use instead of their own."""
    outcomes = named or [comparison.outcome() for comparison in comparisons]
    if len(comparisons) > NAMED:
        return _counted(comparisons)
    # What holds at one place is told together: its name is said once.
    places: dict[str, list[str]] = {}
    for comparison, outcome in zip(comparisons, outcomes, strict=True):
        places.setdefault(comparison.where, []).append(outcome)
    return "; ".join(f"{where}: {', '.join(told)}" for where, told in places.items())


def _counted(comparisons: Sequence[Comparison]) -> str:
    verdicts = [comparison.verdict for comparison in comparisons]
    higher, lower, unclear = (verdicts.count(name) for name in ("higher", "lower", "unclear"))
    without = len(verdicts) - higher - lower - unclear
    told = f"{len(verdicts)} comparisons, {higher} clearly positive, {lower} clearly negative, {unclear} not clear"
    if without:
        told += f", {without} without an interval"
    clear = [comparison for comparison in comparisons if comparison.verdict in ("higher", "lower")]
    if not clear:
        return told
    extremes = dict.fromkeys([max(clear, key=lambda c: c.difference), min(clear, key=lambda c: c.difference)])
    return f"{told}; largest and smallest: {_told(list(extremes))}"


def _references(kept: pd.DataFrame, variants: pd.DataFrame) -> pd.DataFrame:
    """The rows of `layers_kept` of the first progressive surgery of each model and task; the others are its variants.

    What another scheme changes has a table of its own, `surgery_variants`, and for the scale a line.
    """
    surgery, variant = (
        pd.MultiIndex.from_frame(rows[["model", "task", name]])
        for rows, name in ((kept, "surgery"), (variants, "variant"))
    )
    return kept[~surgery.isin(variant)]


def _layers(table: pd.DataFrame, labels: Mapping[str, str]) -> list[Layers]:
    keys = ["model", "intermediate", "task", "recipe", "surgery"]
    found: list[Layers] = []
    for _, curves in table.groupby(keys, sort=False):
        curves = curves.drop_duplicates(["n_train", "depth"])
        # Without the runs that keep none there is no gain to speak of.
        sizes = sorted(set(curves[curves["depth"] == 0]["n_train"]) & set(curves[curves["depth"] > 0]["n_train"]))
        # Largest first; where only one size was run it is told once.
        for n_train in dict.fromkeys([*sizes[-1:], *sizes[:1]]):
            curve = curves[curves["n_train"] == n_train].sort_values("depth")
            scratch, *_, row = curve.to_dict("records")
            most = int(row["depth"])
            where = _where(row, table, ["model", "intermediate", "recipe", "surgery"], labels)
            left, right = f"{most} pretrained layers", "none"
            gain = _comparison(row, "gain_over_scratch", where, left, right, row["n"], scratch["n"])
            gains = dict(zip(curve["depth"].tolist(), curve["gain_over_scratch"].tolist(), strict=True)) | {0: 0.0}
            enough = layers_for_share(gains) if gain.verdict == "higher" else None
            found.append(Layers(most, gain, enough, bool(n_train == sizes[-1])))
    return found


def _layer_line(layers: Sequence[Layers]) -> str:
    question = "Layers, at the largest and the smallest size"
    if not layers:
        return f"{question}: not run."
    return f"{question}: {_told([found.gain for found in layers], [_layer_outcome(found) for found in layers])}."


def _layer_outcome(found: Layers) -> str:
    if found.enough is None:
        return found.gain.outcome()
    return f"{found.gain.outcome()}, {SHARE:.0%} of it with the bottom {found.enough}"


def _warnings(layers: Sequence[Layers]) -> list[str]:
    doubtful = [found.gain for found in layers if found.largest and found.gain.verdict != "higher"]
    if not doubtful:
        return []
    return [
        "CHECK before you believe the rest: with most data the pretrained encoder does not clearly beat the one whose "
        f"layers were all reinitialised: {_told(doubtful)}."
    ]


def _status(found: Sequence[object]) -> str:
    return "run" if found else "not run"


def _plain_data(comparison: Comparison) -> dict[str, Any]:
    data = dict(comparison.__dict__)
    # JSON has no NaN.
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in data.items()}

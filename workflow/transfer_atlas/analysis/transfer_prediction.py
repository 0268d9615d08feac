"""Can one know before training? Transferability scores against the gain that training then measures.

A pair is an intermediate entry and a target. Its score is the mean over the seeds of the intermediate training, its
gain the mean paired difference of the table `intermediate`. Pairs that share a task are not independent, which neither
the interval nor p of their correlation knows: both are too hopeful, the more so the fewer tasks there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.correlations import correlate
from transfer_atlas.analysis.intervals import NAN
from transfer_atlas.probing.transferability.measures import COLUMNS

KEY = ["model", "intermediate", "task", "measure", "seed"]
# What a score gains over the pretrained state's is a measure of its own: the target's part in it is gone.
GAIN = "_gain"

# Which pairs are compared. `head`: whether their runs go on with a new head (`drop`) or with the intermediate one's.
GROUP = ["measure", "model", "recipe", "head", "size"]
PREDICTION = [*GROUP, "pairs", "spearman", "low", "high", "p", "p_holm"]
POINTS = [*GROUP, "n_train", "intermediate", "task", "family", "score", "gain"]
_PAIR = ["model", "intermediate", "task"]


def collect(files: Sequence[Path]) -> pd.DataFrame:
    """The scores of all files (`steps.score_transferability`) together, in an order that depends on the rows alone."""
    # Read as text first: a name may look like a number or like NA.
    frames = [pd.read_csv(file, dtype="str", keep_default_na=False)[list(COLUMNS)] for file in files]
    together = pd.concat([pd.DataFrame(columns=list(COLUMNS)), *frames], ignore_index=True)
    numbers = [name for name, kind in COLUMNS.items() if kind != "str"]
    together[numbers] = together[numbers].apply(pd.to_numeric)
    return together.astype(COLUMNS).sort_values(KEY, kind="stable", na_position="first", ignore_index=True)


def pair_scores(transferability: pd.DataFrame) -> pd.DataFrame:
    """The score of each pair by measure: model, intermediate, task, measure and `score`.

    Scores after the intermediate task are means over its seeds, undefined where one is; what they gain over the
    pretrained state's is the measure with `GAIN` behind its name. Of measures that only the pretrained state has, the
    distances of domains, that is the score.
    """
    is_trained = transferability["seed"].notna()
    trained, pretrained = transferability[is_trained], transferability[~is_trained]
    in_both = trained["measure"].isin(pretrained["measure"])
    gained = trained[in_both].assign(
        measure=lambda rows: rows["measure"] + GAIN, value=lambda rows: rows["gain_of_score"]
    )
    alone = pretrained[~pretrained["measure"].isin(trained["measure"])]
    by_pair = pd.concat([trained, gained, alone]).groupby([*_PAIR, "measure"])["value"]
    return by_pair.mean(skipna=False).rename("score").reset_index()


def points(transferability: pd.DataFrame, intermediate: pd.DataFrame) -> pd.DataFrame:
    """Each fine-tuned pair with its score and its gain, by measure and train size: `POINTS`.

    A measure that is undefined for a pair has no row.

    Args:
        transferability: the table of `collect`.
        intermediate: the table `intermediate`.
    """
    gains = intermediate[intermediate["method"] == "finetune"].rename(columns={"difference": "gain"})
    found = pair_scores(transferability).merge(gains, on=_PAIR).dropna(subset=["score", "gain"])
    order = ["measure", "model", "recipe", "head", "n_train", "size", "intermediate", "task"]
    return found.sort_values(order, kind="stable", ignore_index=True)[POINTS]


def predict(transferability: pd.DataFrame, intermediate: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation of each measure with the gain, over the pairs of each of `GROUP`: `PREDICTION`.

    p is exact up to eight pairs (`correlations.correlate`) and corrected by Holm's method over the whole table; the
    interval is that of `intervals.rank_correlation_interval`. Two names of one train size (2000, and all of 2000) are
    one test. Arguments as of `points`.
    """
    rows = []
    tests: list[tuple[str, ...]] = []
    for place, group in points(transferability, intermediate).groupby(GROUP, sort=False):
        found = correlate(group["score"].tolist(), group["gain"].tolist(), "spearman")
        rows.append([*place, found.n, found.r, found.low, found.high, found.p, NAN])
        runs = group[["intermediate", "task", "n_train"]].astype("str").to_numpy().ravel()
        tests.append((*map(str, place[:-1]), *runs))
    table = pd.DataFrame(rows, columns=PREDICTION)
    p_values = dict(zip(tests, table["p"].tolist(), strict=True))
    corrected = dict(zip(p_values, intervals.holm(list(p_values.values())), strict=True))
    table["p_holm"] = [corrected[test] for test in tests]
    return table

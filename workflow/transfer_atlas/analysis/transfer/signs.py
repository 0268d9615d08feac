"""How often an intermediate task helps or hurts: the sign test over cells of the grid."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pandas as pd
from scipy import stats

from transfer_atlas.analysis.columns import table
from transfer_atlas.analysis.intervals import NAN, estimate
from transfer_atlas.analysis.samples import Row

FACTORS = ("model", "family", "setting", "size")
# What tells two cells apart besides; the runs of size 2000 and of all 2000 examples are the same.
CELL = ["model", "intermediate", "task", "recipe", "n_train"]
# Seeds' means that are equal but for rounding are a tie.
TIE = 1e-9


def signs(effects: pd.DataFrame) -> pd.DataFrame:
    """Wins and losses of intermediate tasks over cells: over all, for each value of a factor, and at each combination.

    Only fine-tuning counts, each recipe and each way with the intermediate head by itself. A cell loses where its mean
    over seeds is lower with the intermediate task. Cells of one target are no independent draws, so `p` says how sure
    the sign is for the pairs that were run, not for all that could be.

    Args:
        effects: the table `intermediate`.

    Returns:
        A factor is empty where all its values are counted together. `share_losses` is of wins and losses, with its
        exact binomial interval and two-sided p; `mean_gain` has a t interval over cells.
    """
    rows = []
    tuned = effects[effects["method"] == "finetune"].dropna(subset="difference")
    for (recipe, head), cells in tuned.groupby(["recipe", "head"]):
        for factors, group in _groups(cells):
            gains = group.drop_duplicates(CELL)["difference"].tolist()
            rows.append({"recipe": recipe, "head": head, **factors, **_counted(gains)})
    return table("transfer_signs", rows)


def _groups(cells: pd.DataFrame) -> Iterator[tuple[Row, pd.DataFrame]]:
    yield {}, cells
    for factors in chain(([factor] for factor in FACTORS), [list(FACTORS)]):
        for values, group in cells.groupby(factors):
            yield dict(zip(factors, values, strict=True)), group


def _counted(gains: list[float]) -> Row:
    losses, wins = sum(gain < -TIE for gain in gains), sum(gain > TIE for gain in gains)
    low = high = share = p = NAN
    if losses + wins:
        test = stats.binomtest(losses, losses + wins)
        share, p = losses / (losses + wins), float(test.pvalue)
        low, high = (float(end) for end in test.proportion_ci(method="exact"))
    mean = estimate(gains)
    return {
        **{"cells": len(gains), "losses": losses, "wins": wins, "ties": len(gains) - losses - wins},
        **{"share_losses": share, "low": low, "high": high, "p": p},
        **{"mean_gain": mean.mean, "mean_low": mean.low, "mean_high": mean.high},
    }

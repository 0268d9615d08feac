"""How often an intermediate task helps or hurts: the sign test over cells of the grid."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pandas as pd

from transfer_atlas.analysis.columns import table
from transfer_atlas.analysis.constant_answers import ROUNDING
from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.analysis.intervals import estimate
from transfer_atlas.analysis.samples import Row
from transfer_atlas.analysis.sign_test import sign_test

FACTORS = ("model", "family", "setting", "size")
# What tells two cells apart besides; the runs of size 2000 and of all 2000 examples are the same.
CELL = ["model", "intermediate", "task", "recipe", "n_train"]
# Seeds' means that are equal but for rounding are a tie.
TIE = ROUNDING / POINTS


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
    signs, mean = sign_test(gains, TIE), estimate(gains)
    return {
        **{"cells": len(gains), "losses": signs.losses, "wins": signs.wins, "ties": signs.ties},
        **{"share_losses": signs.share, "low": signs.low, "high": signs.high, "p": signs.p},
        **{"mean_gain": mean.mean, "mean_low": mean.low, "mean_high": mean.high},
    }

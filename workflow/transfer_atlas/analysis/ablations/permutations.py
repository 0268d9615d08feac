"""Layers in another order: what it costs, and whether it costs the same tasks alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.ablations import selection
from transfer_atlas.analysis.columns import BASELINE, DIFFERENCE, table
from transfer_atlas.analysis.samples import Compared, Row, Sample, difference, estimated, grouped, holm, samples
from transfer_atlas.settings import Surgery
from transfer_atlas.surgeries import permutation


def permutations(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """Score of each permutation of the layers, and its score minus the full encoder's.

    Beside them the full encoder, and the one with all layers reinitialised by the first progressive surgery that was
    run there; empty where not run. `order` tells the old layer at each place, lowest first.

    Args:
        main: the runs, of `tables.main_scores`.
        surgeries: the configuration's entries.
        layers: number of layers of each model.
    """
    full = selection.full(main, surgeries, layers)
    scratch = selection.scratch(main, surgeries)
    rows: list[Row] = []
    compared: list[Compared] = []
    for key, sample in samples(_permuted(main, surgeries), [*selection.PLACE, "surgery", "depth"]):
        place = selection.place_of(key)
        whole = full.get(place)
        none = next(iter(scratch.get(place, {}).values()), None)
        rows.append(
            {
                **key,
                "n_train": sample.n_train,
                "permutation": key["depth"],
                "order": " ".join(map(str, permutation(int(key["depth"]), layers[key["model"]]))),
                **estimated(sample),
                **difference(DIFFERENCE, sample, whole),
                **estimated(whole, "full_", BASELINE),
                **estimated(none, "none_", BASELINE),
            }
        )
        compared.append((sample.runs, whole.runs if whole else ()))
    return table("permutations", holm(rows, compared))


def permutation_correlations(main: pd.DataFrame, surgeries: Mapping[str, Surgery]) -> pd.DataFrame:
    """Correlation of two tasks' mean scores over the permutations that both have; `main` is of `tables.main_scores`.

    Spearman's and Pearson's p are corrected apart, each over all pairs of tasks of the table.
    """
    keys = ["model", "recipe", "surgery", "size"]
    by_task: dict[tuple[str, ...], dict[str, dict[int, Sample]]] = {}
    for (*place, task), by_permutation in grouped(_permuted(main, surgeries), [*keys, "task"], "depth").items():
        by_task.setdefault(tuple(place), {})[task] = by_permutation
    rows: list[Row] = []
    compared: list[Compared] = []
    for here, tasks in by_task.items():
        for one, other in combinations(sorted(tasks), 2):
            common = sorted(tasks[one].keys() & tasks[other].keys())
            sides = [[tasks[task][number] for number in common] for task in (one, other)]
            means = [[float(np.mean(list(sample.scores.values()))) for sample in side] for side in sides]
            rows.append(
                {
                    **dict(zip(keys, here, strict=True)),
                    "task_a": one,
                    "task_b": other,
                    "permutations": len(common),
                    **_correlations(*means),
                }
            )
            left, right = (tuple(run for sample in side for run in sample.runs) for side in sides)
            compared.append((left, right))
    for p in ("spearman_p", "pearson_p"):
        rows = holm(rows, compared, p)
    return table("permutation_correlations", rows)


def _permuted(main: pd.DataFrame, surgeries: Mapping[str, Surgery]) -> pd.DataFrame:
    return selection.of_kind(main, surgeries, "permute")


def _correlations(x: Sequence[float], y: Sequence[float]) -> Row:
    """Both correlations with interval and p. Undefined where a score is, where all are equal, and below three pairs,
    which always lie on a line."""
    n = len(x)
    r, p, rho, rho_p = (math.nan,) * 4
    if n >= 3 and np.isfinite([x, y]).all() and np.ptp(x) > 0 and np.ptp(y) > 0:
        r, p = map(float, stats.pearsonr(x, y))
        rho, rho_p = map(float, stats.spearmanr(x, y))
    low, high = intervals.correlation_interval(r, n)
    rho_low, rho_high = intervals.rank_correlation_interval(rho, n)
    return {
        **{"spearman": rho, "spearman_low": rho_low, "spearman_high": rho_high, "spearman_p": rho_p},
        **{"pearson": r, "pearson_low": low, "pearson_high": high, "pearson_p": p},
    }

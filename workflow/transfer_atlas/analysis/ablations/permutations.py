"""Layers in another order: what it costs, and whether it costs the same tasks alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import get_args

import numpy as np
import pandas as pd

from transfer_atlas.analysis.ablations import selection
from transfer_atlas.analysis.columns import BASELINE, DIFFERENCE, table
from transfer_atlas.analysis.correlations import Kind, correlate
from transfer_atlas.analysis.samples import Compared, Row, Sample, difference, estimated, grouped, holm, mean
from transfer_atlas.settings import Surgery
from transfer_atlas.surgeries import in_place, permutation


def permutations(main: pd.DataFrame, surgeries: Mapping[str, Surgery], layers: Mapping[str, int]) -> pd.DataFrame:
    """Score of each permutation of the layers, and its score minus the full encoder's.

    Then, without number and order, the mean over all of them at the seeds that have them all. An order that several
    numbers stand for counts once there, and the layers' own order is none that permutes them. The permutations are a
    fixed set that all seeds share, and all are compared with the same full encoder: its interval is over seeds too.

    Beside them the full encoder, and the one with all layers reinitialised by the first progressive surgery that was
    run there; empty where not run. `order` tells the old layer at each place, lowest first.

    Args:
        main: the runs, of `tables.main_scores`.
        surgeries: the configuration's entries.
        layers: number of layers of each model.
    """
    full = selection.full(main, surgeries, layers)
    scratch = selection.scratch(main, surgeries)
    keys = [*selection.PLACE, "surgery"]
    rows: list[Row] = []
    compared: list[Compared] = []
    for here, by_number in grouped(_permuted(main, surgeries), keys, "depth").items():
        key = dict(zip(keys, here, strict=True))
        place = selection.place_of(key)
        whole = full.get(place)
        none = next(iter(scratch.get(place, {}).values()), None)
        for number, order, sample in _with_mean(by_number, layers[key["model"]]):
            rows.append(
                {
                    **key,
                    "n_train": sample.n_train,
                    "permutation": number,
                    "order": None if order is None else " ".join(map(str, order)),
                    **estimated(sample),
                    **difference(DIFFERENCE, sample, whole),
                    **estimated(whole, "full_", BASELINE),
                    **estimated(none, "none_", BASELINE),
                }
            )
            compared.append((sample.runs, whole.runs if whole else ()))
    return table("permutations", holm(rows, compared, mean_of="permutation"))


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


def _with_mean(
    by_number: Mapping[int, Sample], layers: int
) -> Iterator[tuple[int | None, tuple[int, ...] | None, Sample]]:
    """Number, order and sample of each permutation, then the mean over their orders but the layers' own."""
    by_order: dict[tuple[int, ...], Sample] = {}
    for number, sample in by_number.items():
        order = permutation(int(number), layers)
        by_order.setdefault(order, sample)
        yield number, order, sample
    by_order.pop(in_place(layers), None)
    if by_order:
        yield None, None, mean(list(by_order.values()))


def _correlations(x: Sequence[float], y: Sequence[float]) -> Row:
    """Both correlations with interval and p."""
    row: Row = {}
    for kind in get_args(Kind):
        found = correlate(x, y, kind)
        row |= {kind: found.r, f"{kind}_low": found.low, f"{kind}_high": found.high, f"{kind}_p": found.p}
    return row

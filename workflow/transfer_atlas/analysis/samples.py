"""The scores of a cell of the grid by seed, and what tables say of them: means, paired differences, Holm's p.

Rows of tables are plain dicts here; `columns.table` makes a table of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.evidence import mean_by_seed
from transfer_atlas.analysis.runs import ordered

Row = dict[str, Any]
Place = tuple[Any, ...]
"""The values of some columns, in their order."""

# What is told of scores or differences at several seeds (intervals.Estimate).
ESTIMATE = ("mean", "sd", "n", "low", "high")


@dataclass(frozen=True)
class Sample:
    """The scores of one cell of the grid by seed, with the digests of the runs behind them.

    Where each seed was run after several intermediate trainings, a seed's score is the mean over these.
    """

    scores: dict[int, float]
    runs: tuple[str, ...]
    n_train: int


# What a comparison compares: the digests of the runs on both sides.
Compared = tuple[tuple[str, ...], tuple[str, ...]]


def samples(frame: pd.DataFrame, keys: Sequence[str]) -> Iterator[tuple[Row, Sample]]:
    """The scores by seed of each combination of `keys` in `frame`, in the order of the runs.

    Raises:
        ValueError: the keys do not tell the runs of a seed apart.
    """
    for place, group in ordered(frame).groupby(list(keys), sort=False, dropna=False):
        if group.duplicated(["seed", "intermediate_seed"]).any():
            raise ValueError(f"more than one score for a seed at {place}: {keys} do not tell the runs apart")
        by_seed: dict[int, list[float]] = {}
        for seed, value in zip(group["seed"], group["value"], strict=True):
            by_seed.setdefault(seed, []).append(value)
        scores = {seed: sum(values) / len(values) for seed, values in by_seed.items()}
        sample = Sample(scores, tuple(group["run"]), int(group["n_train"].max()))
        yield dict(zip(keys, place, strict=True)), sample


def grouped(frame: pd.DataFrame, keys: Sequence[str], within: str) -> dict[Place, dict[Any, Sample]]:
    """The scores by seed of each combination of `keys`, by the column `within` that tells its samples apart."""
    groups: dict[Place, dict[Any, Sample]] = {}
    for key, sample in samples(frame, [*keys, within]):
        groups.setdefault(tuple(key[name] for name in keys), {})[key[within]] = sample
    return groups


def mean(cells: Sequence[Sample]) -> Sample:
    """The mean over cells of the grid, at each seed that has them all; at least one cell."""
    runs = tuple(run for cell in cells for run in cell.runs)
    return Sample(mean_by_seed([cell.scores for cell in cells]), runs, cells[0].n_train)


def estimated(sample: Sample | None, prefix: str = "", names: Sequence[str] = ESTIMATE) -> Row:
    """Mean and interval of a sample; nothing known where there is none."""
    if sample is None:
        return dict.fromkeys((f"{prefix}{name}" for name in names), math.nan)
    found = intervals.estimate(list(sample.scores.values()))
    return {f"{prefix}{name}": getattr(found, name) for name in names}


def difference(names: Sequence[str], left: Sample, right: Sample | None) -> Row:
    """Left minus right, paired by seed; nothing known where there is no right side.

    Args:
        names: of the columns for mean, sd, n, low, high, p and the corrected p, which `holm` fills.
    """
    if right is None:
        return dict.fromkeys(names, math.nan)
    found = intervals.paired(left.scores, right.scores)
    # What shares a run with itself is no test: all layers kept is the same run whatever happens to the others.
    p = math.nan if set(left.runs) & set(right.runs) else found.p
    return dict(zip(names, [found.mean, found.sd, found.n, found.low, found.high, p, math.nan], strict=True))


def holm(rows: Sequence[Row], compared: Sequence[Compared], p: str = "p", mean_of: str | None = None) -> list[Row]:
    """Fill `p_holm` (or another p's `<p>_holm`). The same runs compared twice (size 2000 and all of 2000 examples) are
    one test of the family.

    Args:
        mean_of: a column that rows of means over it leave empty: these are a family of their own, because they are
            another question.
    """
    families: dict[bool, dict[Compared, float]] = {}
    keys = [(mean_of is not None and row[mean_of] is None, key) for key, row in zip(compared, rows, strict=True)]
    for (is_mean, key), row in zip(keys, rows, strict=True):
        families.setdefault(is_mean, {})[key] = row[p]
    adjusted = {
        (is_mean, key): value
        for is_mean, tests in families.items()
        for key, value in zip(tests, intervals.holm(list(tests.values())), strict=True)
    }
    return [{**row, f"{p}_holm": adjusted[key]} for key, row in zip(keys, rows, strict=True)]

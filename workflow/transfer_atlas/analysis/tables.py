"""The study's tables, as pure functions of the runs.

Scores are in natural units (accuracy 0.9, not 90). A comparison is paired by seed and its p-value is corrected by
Holm's method over all comparisons of its table. Only `costs` and the runs themselves hold measured time, so every
other table has the same bytes each time the same runs are analysed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from transfer_atlas import atomic, settings
from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.runs import COLUMNS as RUN_COLUMNS
from transfer_atlas.analysis.runs import ordered
from transfer_atlas.errors import UserError

Row = dict[str, Any]

ESTIMATE = ["mean", "sd", "n", "low", "high"]
DIFFERENCE = ["difference", "difference_sd", "difference_n", "difference_low", "difference_high", "p", "p_holm"]
GAIN = ["gain_over_scratch", "gain_sd", "gain_n", "gain_low", "gain_high", "p", "p_holm"]

# Columns of each table, in order. `n_train` is the real number of train examples behind `size`.
COLUMNS = {
    "scores": [
        *("model", "intermediate", "task", "recipe", "surgery", "depth", "size", "n_train", "split", "metric", "main"),
        *ESTIMATE,
    ],
    "finetune_vs_extract": [
        *("model", "intermediate", "task", "size", "n_train", "finetune", "extract", "metric"),
        *(f"finetune_{name}" for name in ESTIMATE),
        *(f"extract_{name}" for name in ESTIMATE),
        *DIFFERENCE,
    ],
    "intermediate": [
        *("model", "intermediate", "task", "recipe", "size", "n_train", "metric"),
        *(f"with_{name}" for name in ESTIMATE),
        *(f"without_{name}" for name in ESTIMATE),
        *DIFFERENCE,
    ],
    "layers_kept": [
        *("model", "intermediate", "task", "recipe", "surgery", "size", "n_train", "depth", "metric"),
        *ESTIMATE,
        *GAIN,
    ],
    "costs": [
        *("model", "task", "recipe", "size", "n_train", "device", "runs"),
        *("seconds", "tokens", "steps", "peak_memory_mb", "seconds_total"),
    ],
}
TEXT = {name for name, kind in RUN_COLUMNS.items() if kind == "str"} | {"finetune", "extract", "system"}
# Sizes are ordered by the examples they stand for: as text, 500 comes after 2000, and "all" anywhere.
ORDER = ["model", "intermediate", "task", "recipe", "finetune", "extract", "surgery", "n_train", "size", "depth"]


@dataclass(frozen=True)
class Sample:
    """The scores of one cell of the grid by seed, with the digests of the runs behind them."""

    scores: dict[int, float]
    runs: tuple[str, ...]
    n_train: int


# What a comparison compares: the digests of the runs on both sides.
Compared = tuple[tuple[str, ...], tuple[str, ...]]


def main_scores(runs: pd.DataFrame, tasks: Mapping[str, settings.Task]) -> pd.DataFrame:
    """The rows of `runs` on the test split in the main metric of their task.

    Raises:
        UserError: a task's runs were not scored in its main metric.
    """
    test = runs[runs["split"] == "test"]
    main = test[_is_main(test, tasks)]
    for task in sorted(set(test["task"]) - set(main["task"])):
        raise UserError(
            f"tasks.{task}.metric: no run of this task was scored in {tasks[task].main_metric}; "
            f"name one of {', '.join(sorted(set(test.loc[test['task'] == task, 'metric'])))}"
        )
    return main


def scores(runs: pd.DataFrame, tasks: Mapping[str, settings.Task]) -> pd.DataFrame:
    """Every cell of the grid by depth, split and metric; `main` marks the main metric of the task."""
    keys = ["model", "intermediate", "task", "recipe", "surgery", "depth", "size", "split", "metric"]
    rows = [
        {
            **key,
            "n_train": sample.n_train,
            "main": key["metric"] == tasks[key["task"]].main_metric,
            **_estimate(sample),
        }
        for key, sample in _samples(runs, keys)
    ]
    return _table("scores", rows)


def finetune_vs_extract(main: pd.DataFrame) -> pd.DataFrame:
    """Each fine-tuning recipe against each extraction recipe, on untouched models; `main` is of `main_scores`."""
    keys = ["model", "intermediate", "task", "size", "metric"]
    groups: dict[tuple[str, ...], dict[str, list[tuple[str, Sample]]]] = {}
    for key, sample in _samples(main[main["surgery"] == "none"], [*keys, "method", "recipe"]):
        place = tuple(key[name] for name in keys)
        groups.setdefault(place, {}).setdefault(key["method"], []).append((key["recipe"], sample))
    rows: list[Row] = []
    compared: list[Compared] = []
    for place, methods in groups.items():
        for finetune, left in methods.get("finetune", []):
            for extract, right in methods.get("extract", []):
                rows.append(
                    {
                        **dict(zip(keys, place, strict=True)),
                        "n_train": left.n_train,
                        "finetune": finetune,
                        "extract": extract,
                        **_estimate(left, "finetune_"),
                        **_estimate(right, "extract_"),
                        **_difference(DIFFERENCE, left, right),
                    }
                )
                compared.append((left.runs, right.runs))
    return _table("finetune_vs_extract", _holm(rows, compared))


def intermediate(main: pd.DataFrame) -> pd.DataFrame:
    """With against without each intermediate task, on untouched models; `main` is of `main_scores`."""
    keys = ["model", "task", "recipe", "size", "metric"]
    groups: dict[tuple[str, ...], dict[str, Sample]] = {}
    for key, sample in _samples(main[main["surgery"] == "none"], [*keys, "intermediate"]):
        groups.setdefault(tuple(key[name] for name in keys), {})[key["intermediate"]] = sample
    rows: list[Row] = []
    compared: list[Compared] = []
    for place, samples in groups.items():
        without = samples.pop("none", None)
        for name, sample in samples.items():
            if without is None:
                continue
            rows.append(
                {
                    **dict(zip(keys, place, strict=True)),
                    "n_train": sample.n_train,
                    "intermediate": name,
                    **_estimate(sample, "with_"),
                    **_estimate(without, "without_"),
                    **_difference(DIFFERENCE, sample, without),
                }
            )
            compared.append((sample.runs, without.runs))
    return _table("intermediate", _holm(rows, compared))


def layers_kept(main: pd.DataFrame) -> pd.DataFrame:
    """Score against pretrained layers kept, and the gain over keeping none; `main` is of `main_scores`."""
    keys = ["model", "intermediate", "task", "recipe", "surgery", "size", "metric"]
    groups: dict[tuple[str, ...], dict[int, Sample]] = {}
    for key, sample in _samples(main[main["surgery"] != "none"], [*keys, "depth"]):
        groups.setdefault(tuple(key[name] for name in keys), {})[int(key["depth"])] = sample
    rows: list[Row] = []
    compared: list[Compared] = []
    for place, depths in groups.items():
        for depth, sample in depths.items():
            row = {
                **dict(zip(keys, place, strict=True)),
                "n_train": sample.n_train,
                "depth": depth,
                **_estimate(sample),
            }
            # Depth 0 is what the others are compared with; without it there is nothing to compare.
            scratch = depths.get(0) if depth > 0 else None
            rows.append({**row, **(_difference(GAIN, sample, scratch) if scratch else dict.fromkeys(GAIN, math.nan))})
            compared.append((sample.runs, scratch.runs if scratch else ()))
    return _table("layers_kept", _holm(rows, compared))


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean cost of a run per recipe and train size, over distinct runs: one run in two cells was paid for once."""
    keys = ["model", "task", "recipe", "size", "device"]
    # All rows of one run tell the same cost.
    distinct = ordered(runs).drop_duplicates([*keys, "run"])
    rows: list[Row] = []
    for place, group in distinct.groupby(keys, sort=False, dropna=False):
        # A cost that was not measured for every run has no mean: a mean over the others would be another quantity.
        means = {name: round(_mean(group[name]), 3) for name in ("seconds", "tokens", "steps", "peak_memory_mb")}
        rows.append(
            {
                **dict(zip(keys, place, strict=True)),
                "n_train": int(group["n_train"].max()),
                "runs": len(group),
                **means,
                "seconds_total": round(_mean(group["seconds"]) * len(group), 3),
            }
        )
    return _table("costs", rows)


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """The rows without an intermediate task, and those of a model and task that have no others: one question at a
    time."""
    without = table["intermediate"] == "none"
    has_without = without.groupby([table["model"], table["task"]]).transform("any")
    return table[without | ~has_without]


def write_runs(runs: pd.DataFrame, path: Path) -> None:
    """Write the long table; every float is written so that reading gives the same float back."""
    atomic.write_text(path, runs.to_csv(index=False, lineterminator="\n"))


def write(table: pd.DataFrame, path: Path) -> None:
    """Write a table of this module, its scores with six digits (costs keep theirs: they are rounded already)."""
    digits = "%.12g" if "seconds" in table else "%.6g"
    atomic.write_text(path, table.to_csv(index=False, lineterminator="\n", float_format=digits))


def read(path: Path) -> pd.DataFrame:
    """Read a table written by `write` or `write_runs`; names stay text even if they look like numbers or NA."""
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, "str"), keep_default_na=False, na_values=[""])


def _samples(frame: pd.DataFrame, keys: list[str]) -> Iterator[tuple[Row, Sample]]:
    """The scores by seed of each combination of `keys` in `frame`, in the order of the runs."""
    for place, group in ordered(frame).groupby(keys, sort=False, dropna=False):
        by_seed = dict(zip(group["seed"], group["value"], strict=True))
        if len(by_seed) != len(group):
            raise ValueError(f"more than one score for a seed at {place}: {keys} do not tell the runs apart")
        sample = Sample(by_seed, tuple(group["run"]), int(group["n_train"].max()))
        yield dict(zip(keys, place, strict=True)), sample


def _is_main(frame: pd.DataFrame, tasks: Mapping[str, settings.Task]) -> np.ndarray:
    names = zip(frame["task"], frame["metric"], strict=True)
    return np.array([metric == tasks[task].main_metric for task, metric in names], dtype=bool)


def _estimate(sample: Sample, prefix: str = "") -> Row:
    found = intervals.estimate(list(sample.scores.values()))
    return {f"{prefix}{name}": getattr(found, name) for name in ESTIMATE}


def _difference(names: list[str], left: Sample, right: Sample) -> Row:
    found = intervals.paired(left.scores, right.scores)
    values = [found.mean, found.sd, found.n, found.low, found.high, found.p, math.nan]
    return dict(zip(names, values, strict=True))


def _holm(rows: list[Row], compared: list[Compared]) -> list[Row]:
    """Fill `p_holm`. The same runs compared twice (size 2000 and all of 2000 examples) are one test of the family."""
    tests = {key: row["p"] for key, row in zip(compared, rows, strict=True)}
    adjusted = dict(zip(tests, intervals.holm(list(tests.values())), strict=True))
    return [{**row, "p_holm": adjusted[key]} for key, row in zip(compared, rows, strict=True)]


def _mean(values: pd.Series) -> float:
    return float(values.to_numpy(dtype="float64", na_value=math.nan).mean())


def _table(name: str, rows: list[Row]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=COLUMNS[name])
    for column in table.columns.intersection(["depth", "difference_n", "gain_n"]):
        table[column] = table[column].astype("Int64")
    order = [column for column in ORDER if column in table]
    rest = [column for column in ("split", "metric", "device") if column in table]
    return table.sort_values(order + rest, na_position="first", kind="stable", ignore_index=True)

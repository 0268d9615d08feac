"""The study's tables of what was run and of whole encoders, as pure functions of the runs; and how tables are stored.

Scores are in natural units (accuracy 0.9, not 90). A comparison is paired by seed and its p-value is corrected by
Holm's method over all comparisons of its table. Only `costs` and the runs themselves hold measured time, so every
other table has the same bytes each time the same runs are analysed. `ablations` makes the tables of single layers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from transfer_atlas import atomic, settings
from transfer_atlas.analysis.columns import COLUMNS as COLUMNS
from transfer_atlas.analysis.columns import DIFFERENCE, TEXT, table
from transfer_atlas.analysis.runs import ordered
from transfer_atlas.analysis.samples import ESTIMATE as ESTIMATE
from transfer_atlas.analysis.samples import (
    Compared,
    Row,
    Sample,
    difference,
    estimated,
    holm,
    samples,
)
from transfer_atlas.analysis.transfer import arms
from transfer_atlas.errors import UserError


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
            **estimated(sample),
        }
        for key, sample in samples(arms.repetitions(runs), keys)
    ]
    return table("scores", rows)


def finetune_vs_extract(main: pd.DataFrame) -> pd.DataFrame:
    """Each fine-tuning recipe against each extraction recipe, on whole encoders; `main` is of `main_scores`."""
    keys = ["model", "intermediate", "task", "size", "metric"]
    groups: dict[tuple[str, ...], dict[str, list[tuple[str, Sample]]]] = {}
    encoders = whole(main)
    for key, sample in samples(encoders[arms.by_recipe(encoders)], [*keys, "method", "recipe"]):
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
                        **estimated(left, "finetune_"),
                        **estimated(right, "extract_"),
                        **difference(DIFFERENCE, left, right),
                    }
                )
                compared.append((left.runs, right.runs))
    return table("finetune_vs_extract", holm(rows, compared))


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean cost of a run per recipe and train size, over distinct runs: one run in two cells was paid for once.

    Controls of intermediate tasks, which train for longer, and zero-shot runs, which do not train, are left out.
    """
    keys = ["model", "task", "recipe", "size", "device"]
    # All rows of one run tell the same cost.
    distinct = ordered(runs[arms.by_recipe(runs)]).drop_duplicates([*keys, "run"])
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
    return table("costs", rows)


def plain(made: pd.DataFrame) -> pd.DataFrame:
    """The rows without an intermediate task, and those of a model and task that have no others: one question at a
    time. What was not trained by its recipe (`arms.by_recipe`) is none of them."""
    made = made[arms.by_recipe(made)]
    without = arms.direct(made)
    has_without = without.groupby([made["model"], made["task"]]).transform("any")
    return made[without | ~has_without]


def write_runs(runs: pd.DataFrame, path: Path) -> None:
    """Write the long table; every float is written so that reading gives the same float back."""
    atomic.write_text(path, runs.to_csv(index=False, lineterminator="\n"))


def write(made: pd.DataFrame, path: Path) -> None:
    """Write a table, its scores with six digits (costs keep theirs: they are rounded already)."""
    digits = "%.12g" if "seconds" in made else "%.6g"
    atomic.write_text(path, made.to_csv(index=False, lineterminator="\n", float_format=digits))


def read(path: Path) -> pd.DataFrame:
    """Read a table written by `write` or `write_runs`; names stay text even if they look like numbers or NA."""
    return pd.read_csv(path, dtype=dict.fromkeys(TEXT, "str"), keep_default_na=False, na_values=[""])


def whole(main: pd.DataFrame) -> pd.DataFrame:
    """Runs of the whole pretrained encoder: no surgery, and not cut at a layer to be probed."""
    return main[(main["surgery"] == "none") & main["depth"].isna()]


def _is_main(frame: pd.DataFrame, tasks: Mapping[str, settings.Task]) -> np.ndarray:
    names = zip(frame["task"], frame["metric"], strict=True)
    return np.array([metric == tasks[task].main_metric for task, metric in names], dtype=bool)


def _mean(values: pd.Series) -> float:
    return float(values.to_numpy(dtype="float64", na_value=math.nan).mean())

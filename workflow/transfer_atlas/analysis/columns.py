"""The columns of the study's tables, their types and the order of their rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from transfer_atlas.analysis.runs import COLUMNS as RUN_COLUMNS
from transfer_atlas.analysis.samples import ESTIMATE, Row

DIFFERENCE = ["difference", "difference_sd", "difference_n", "difference_low", "difference_high", "p", "p_holm"]
BEYOND_BUDGET = [
    *("beyond_budget", "beyond_budget_sd", "beyond_budget_n", "beyond_budget_low", "beyond_budget_high"),
    *("beyond_budget_p", "beyond_budget_p_holm"),
]
GAIN_OVER_SCRATCH = ["gain_over_scratch", "gain_sd", "gain_n", "gain_low", "gain_high", "p", "p_holm"]
GAIN = ["gain", "gain_sd", "gain_n", "gain_low", "gain_high", "p", "p_holm"]
LOSS = ["loss", "loss_sd", "loss_n", "loss_low", "loss_high", "p", "p_holm"]
# What is told of the untouched encoder (`full_`) and of the one with all layers reinitialised (`none_`).
BASELINE = ["mean", "low", "high", "n"]

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
        *("model", "intermediate", "family", "setting", "task"),
        *("recipe", "method", "head", "size", "n_train", "metric"),
        *(f"with_{name}" for name in ESTIMATE),
        *(f"without_{name}" for name in ESTIMATE),
        *DIFFERENCE,
        *(f"budget_{name}" for name in ESTIMATE),
        *BEYOND_BUDGET,
        *("steps", "steps_before", "budget_steps"),
    ],
    "zero_shot": [
        *("model", "intermediate", "family", "setting", "task", "recipe", "metric"),
        *ESTIMATE,
        "constant",
    ],
    "transfer_signs": [
        *("recipe", "head", "model", "family", "setting", "size"),
        *("cells", "losses", "wins", "ties", "share_losses", "low", "high", "p"),
        *("mean_gain", "mean_low", "mean_high"),
    ],
    "transfer_variance": [
        *("recipe", "head", "analysis", "part", "coefficient", "low", "high", "sd", "df", "sum_sq", "F", "p"),
        *("observations", "note"),
    ],
    "costs": [
        *("model", "task", "recipe", "size", "n_train", "device", "runs"),
        *("seconds", "tokens", "steps", "peak_memory_mb", "seconds_total"),
    ],
    "layers_kept": [
        *("model", "intermediate", "task", "recipe", "surgery", "size", "n_train", "depth", "metric"),
        *ESTIMATE,
        *GAIN_OVER_SCRATCH,
    ],
    "layer_gains": ["model", "task", "recipe", "surgery", "size", "n_train", "layer", "metric", *GAIN],
    "layer_probes": [
        *("model", "intermediate", "task", "recipe", "size", "n_train", "layer", "metric"),
        *ESTIMATE,
    ],
    "layer_scores": ["model", "task", "recipe", "surgery", "size", "n_train", "depth", "seed", "metric", "value"],
    "localised": [
        *("model", "task", "recipe", "surgery", "kind", "size", "n_train", "lowest", "highest", "metric"),
        *ESTIMATE,
        *LOSS,
        *(f"full_{name}" for name in BASELINE),
        *(f"none_{name}" for name in BASELINE),
    ],
    "permutations": [
        *("model", "task", "recipe", "surgery", "size", "n_train", "permutation", "order", "metric"),
        *ESTIMATE,
        *DIFFERENCE,
        *(f"full_{name}" for name in BASELINE),
        *(f"none_{name}" for name in BASELINE),
    ],
    "permutation_correlations": [
        *("model", "recipe", "surgery", "size", "task_a", "task_b", "permutations"),
        *("spearman", "spearman_low", "spearman_high", "spearman_p"),
        *("pearson", "pearson_low", "pearson_high", "pearson_p"),
        *("spearman_p_holm", "pearson_p_holm"),
    ],
    "surgery_variants": [
        *("model", "task", "recipe", "size", "n_train", "reference", "variant", "changed", "depth", "metric"),
        *(f"reference_{name}" for name in ESTIMATE),
        *(f"variant_{name}" for name in ESTIMATE),
        *DIFFERENCE,
    ],
}
TEXT = {name for name, kind in RUN_COLUMNS.items() if kind == "str"} | {
    *("finetune", "extract", "system", "kind", "order", "task_a", "task_b", "reference", "variant", "changed"),
    *("family", "setting", "other_task", "after", "analysis", "part", "note"),
}
# Whole numbers that are unknown where there is nothing to count, or no depth or permutation to tell.
UNKNOWN = [
    *("depth", "permutation", "difference_n", "gain_n", "loss_n", "full_n", "none_n"),
    *("budget_n", "beyond_budget_n", "observations"),
]
# Sizes are ordered by the examples they stand for: as text, 500 comes after 2000, and "all" anywhere.
ORDER = [
    *("model", "intermediate", "task", "recipe", "finetune", "extract", "surgery", "reference", "variant"),
    *("head", "family", "setting"),
    *("n_train", "size", "depth", "layer", "lowest", "permutation", "task_a", "task_b", "seed"),
    *("split", "metric", "device"),
]


def table(name: str, rows: Sequence[Row] | pd.DataFrame) -> pd.DataFrame:
    """The table `name` of these rows: its columns, its types, its order."""
    made = pd.DataFrame(rows, columns=COLUMNS[name])
    for column in made.columns.intersection(UNKNOWN):
        made[column] = made[column].astype("Int64")
    order = [column for column in ORDER if column in made]
    return made.sort_values(order, na_position="first", kind="stable", ignore_index=True, key=_sortable)


def _sortable(column: pd.Series) -> Any:
    if column.name != "size":
        return column
    return column.map(_examples)


def _examples(size: Any) -> float:
    if pd.isna(size):
        return math.nan  # Where all sizes are told together.
    return math.inf if size == "all" else float(size)

"""Made-up runs with chosen scores, in the columns of a cell file."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfer_atlas import settings
from transfer_atlas.analysis.runs import COLUMNS
from transfer_atlas.analysis.transfer.pairs import Pairs

METRICS = {"sentiment": ["accuracy", "macro_f1"], "similarity": ["pearson", "spearman"]}


def _runs(
    scores: dict[int, float],
    *,
    task: str = "sentiment",
    recipe: str = "finetune",
    intermediate: str = "none",
    start: int | None = None,
    surgery: str = "none",
    depth: int | None = None,
    n_train: int = 1000,
    size: str | None = None,
    model: str = "tiny",
    seconds: float = 2.0,
    digest: str | None = None,
    **others: Any,
) -> pd.DataFrame:
    alone = intermediate.startswith("none")
    rows = []
    for seed, score in scores.items():
        name = digest or f"{model} {task} {recipe} {intermediate} {surgery} {depth} {n_train}"
        run = {
            "run": hashlib.sha256(f"{name} {seed}".encode()).hexdigest(),
            "model": model,
            "intermediate": intermediate,
            "intermediate_seed": None if alone else start or seed,
            "task": task,
            "recipe": recipe,
            "method": "finetune" if recipe.startswith("finetune") else "extract",
            "head": "linear",
            "surgery": surgery,
            "init": None if surgery == "none" else "truncated_normal",
            "biases": None if surgery == "none" else "reset",
            "layer_norm": None if surgery == "none" else "reset",
            "depth": depth,
            "n_train": n_train,
            "size": size or str(n_train),
            "seed": seed,
            "n_examples": 200,
            "steps": 30,
            "steps_before": 0 if alone else 76,
            "tokens": 9000,
            "truncated": 0,
            "truncated_train": 0,
            "seconds": seconds,
            "peak_memory_mb": 512.0,
            "device": "cpu",
            "precision": "float32",
            **dict.fromkeys(("settings_digest", "data_digest", "model_digest", "code_digest"), "0" * 64),
            **others,
        }
        # The other metric and split are far away: a mean that mixes them in is far off.
        main, other = METRICS[task]
        rows += [
            {**run, "split": split, "metric": metric, "value": score - shift}
            for split, metric, shift in [
                ("validation", main, 0.5),
                ("validation", other, 0.6),
                ("test", main, 0.0),
                ("test", other, 0.3),
            ]
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


@pytest.fixture
def make_runs() -> Callable[..., pd.DataFrame]:
    """`make_runs({seed: score}, task=..., ...)`: the rows of these runs, `score` in the main metric on test.

    Those after an intermediate task start from the training with their own seed, or with the seed `start`.
    """
    return _runs


@pytest.fixture
def write_cell(tmp_path: Path) -> Callable[..., Path]:
    """`write_cell(rows, name)`: the rows as a parquet file below the test's folder."""

    def write(rows: pd.DataFrame, name: str = "cell") -> Path:
        path = tmp_path / "cells" / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        rows.to_parquet(path)
        return path

    return write


@pytest.fixture
def tasks() -> dict[str, settings.Task]:
    """One task of each kind of metric."""
    return {
        "sentiment": settings.Task(type="sequence_classification", files={"train": "train.csv"}),
        "similarity": settings.Task(type="pair_regression", files={"train": "train.csv"}, score_range=[0.0, 5.0]),
    }


@pytest.fixture
def pairs(tasks: dict[str, settings.Task]) -> Pairs:
    """The tasks as targets, and `films` and `goods` as intermediate tasks: English film and product reviews."""
    kinds = {"sentiment": ("sentiment analysis", "en"), "similarity": ("", "de")}
    targets = {
        name: task.model_copy(update={"family": kinds[name][0], "language": kinds[name][1], "domain": "films"})
        for name, task in tasks.items()
    }
    sources = {name: tasks["sentiment"].model_copy(update={"domain": name}) for name in ("films", "goods")}
    entries = {name: settings.Intermediate(task=name, recipe="finetune") for name in sources}
    return Pairs({**targets, **sources}, entries)

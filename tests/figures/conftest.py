"""Made-up tables, as the figures read them."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from transfer_atlas.analysis import diagnostics, peters2019, tables
from transfer_atlas.analysis.claims.peters2019 import TASKS

SIZES = {"100": 100, "500": 500, "all": 2000}
METRICS = {"films": "accuracy", "news": "accuracy", "similarity": "pearson"}
RECIPES = {"finetune": 0.03, "extract": 0.0, "extract_mix": 0.01}


def _estimate(mean: float, prefix: str = "") -> dict[str, float]:
    values = {"mean": mean, "sd": 0.01, "n": 3, "low": mean - 0.025, "high": mean + 0.035}
    return {prefix + name: value for name, value in values.items()}


def _difference(value: float, name: str, prefix: str) -> dict[str, float]:
    values = {"sd": 0.01, "n": 3, "low": value - 0.025, "high": value + 0.025}
    return {name: value, **{f"{prefix}_{key}": v for key, v in values.items()}, "p": 0.01, "p_holm": 0.05}


def _score(n_train: int, recipe: str) -> float:
    return 0.5 + 0.05 * math.log10(n_train) + RECIPES[recipe]


def _made() -> dict[str, pd.DataFrame]:
    rows: dict[str, list[dict]] = {name: [] for name in tables.COLUMNS}
    for task, metric in METRICS.items():
        for size, n_train in SIZES.items():
            base = {"model": "tiny", "intermediate": "none", "task": task, "size": size, "n_train": n_train}
            scored = {**base, "metric": metric}
            for recipe in RECIPES:
                score = _score(n_train, recipe)
                untouched = {"recipe": recipe, "surgery": "none", "split": "test", "main": True}
                rows["scores"].append({**scored, **untouched, **_estimate(score)})
                seconds = n_train / (50 if recipe == "finetune" else 500)
                rows["costs"].append({**base, "recipe": recipe, "device": "cpu", "runs": 3, "seconds": seconds})
                transfer = {**scored, "intermediate": "reviews", "recipe": recipe}
                rows["intermediate"].append({**transfer, **_difference(0.02, "difference", "difference")})
            for extract in ("extract", "extract_mix"):
                rows["finetune_vs_extract"].append(
                    {
                        **scored,
                        "finetune": "finetune",
                        "extract": extract,
                        **_estimate(_score(n_train, "finetune"), "finetune_"),
                        **_estimate(_score(n_train, extract), "extract_"),
                    }
                )
            for depth in range(7):
                kept = {"recipe": "finetune", "surgery": "resets", "depth": depth}
                score = 0.5 + depth * 0.01 * math.log10(n_train)
                rows["layers_kept"].append({**scored, **kept, **_estimate(score)})
    made = {name: pd.DataFrame(rows[name], columns=tables.COLUMNS[name]) for name in rows}
    return {**made, "peters2019": _table2(), "diagnostics": _diagnostics()}


def _table2() -> pd.DataFrame:
    """The paper's Table 2: BERT played by two models on all tasks but MNLI, ELMo by none."""
    rows = []
    for paper_model, model, gain in (("ELMo", "", None), ("BERT-base", "tiny", 0.5), ("BERT-base", "own", -2.0)):
        for i, task in enumerate(TASKS):
            run = gain is not None and task != "MNLI"
            found = (
                {"mean": gain + i, "sd": 0.4, "n": 3, "low": gain + i - 1, "high": gain + i + 1} if run else {"n": 0}
            )
            rows.append(
                {
                    "paper_model": paper_model,
                    "system": model,
                    "model": model,
                    "model_stands_in": model == "tiny" if model else pd.NA,
                    "arm": "difference",
                    "paper_task": task,
                    "task": task.lower() if run else "",
                    "task_stands_in": task == "SST-2" if run else pd.NA,
                    "metric": "accuracy",
                    "published": 0.7 * i - 1,
                    **found,
                }
            )
    return pd.DataFrame(rows, columns=list(peters2019.COLUMNS))


def _diagnostics() -> pd.DataFrame:
    rows = []
    for task, metric in (("films", "accuracy"), ("similarity", "pearson")):
        for seed in (1, 2, 3):
            for layer in range(7):
                values = {"pretrained": 0.6 + 0.02 * layer, "finetuned": 0.65 + 0.04 * layer}
                for state, value in values.items():
                    rows.append((task, seed, state, layer, "probe", metric, value + seed / 200))
                controls = {"pretrained": 0.01, "finetuned": 0.08 * layer, "random labels": 0.0, "random states": -0.01}
                for state, value in controls.items():
                    rows.append((task, seed, state, layer, "mutual_information", "bits", value + seed / 100))
    names = ["task", "seed", "state", "layer", "measure", "metric", "value"]
    table = pd.DataFrame(rows, columns=names).assign(model="tiny", recipe="finetune", size="all", n=200)
    return table[list(diagnostics.COLUMNS)]


@pytest.fixture
def made() -> dict[str, pd.DataFrame]:
    """The tables that figures read, by name."""
    return _made()


@pytest.fixture
def write_tables(tmp_path: Path) -> Callable[..., Path]:
    """`write_tables(tables)`: the folder they were written to."""

    def write(made: dict[str, pd.DataFrame], folder: str = "tables") -> Path:
        for name, table in made.items():
            tables.write(table, tmp_path / folder / f"{name}.csv")
        return tmp_path / folder

    return write

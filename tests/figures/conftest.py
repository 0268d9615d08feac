"""Made-up tables, as the figures read them."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from transfer_atlas.analysis import diagnostics, peters2019, tables, transfer_prediction
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
                transfer = {**scored, "intermediate": "reviews", "recipe": recipe, "method": recipe.partition("_")[0]}
                transfer |= {"head": "drop", "family": "reviews", "setting": "domain"}
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
    for name, found in _ablations().items():
        rows[name].extend(found)
    made = {name: pd.DataFrame(rows[name], columns=tables.COLUMNS[name]) for name in rows}
    return {**made, "peters2019": _table2(), "diagnostics": _diagnostics(), **_scores_before()}


def _scores_before() -> dict[str, pd.DataFrame]:
    """A transferability score of each target after two intermediate seeds, and its correlation with the gain."""
    scores = [
        ("tiny", "reviews", task, seed, "log_me", value + seed / 100, 0.1, 200)
        for value, task in enumerate(METRICS)
        for seed in (1, 2)
    ]
    told = [
        ("log_me", "tiny", "finetune", "drop", size, len(METRICS), 0.5, math.nan, math.nan, 0.5, 1.0) for size in SIZES
    ]
    return {
        "transferability": pd.DataFrame(scores, columns=list(transfer_prediction.COLUMNS)),
        "transfer_prediction": pd.DataFrame(told, columns=transfer_prediction.PREDICTION),
    }


@pytest.fixture
def transfers() -> pd.DataFrame:
    """The table `intermediate` of two models: English news and film reviews before targets of two families, at two
    sizes, with a control at the smaller one. German targets gain; `bert` is hurt everywhere else, beyond doubt on
    questions."""
    kinds = {
        **{"films": ("sentiment", "domain"), "filme": ("sentiment", "cross-lingual")},
        **{"questions": ("topics", "domain"), "fragen": ("topics", "cross-lingual")},
    }
    rows = []
    for model in ("bert", "roberta"):
        for task, (family, setting) in kinds.items():
            for n_train, size in ((200, "200"), (2000 + len(task), "all")):
                gain = 0.05 if setting == "cross-lingual" else -0.01 if model == "bert" else 0.0
                gain -= 0.02 if (model, task) == ("bert", "questions") else 0.0
                for source in ("reviews", "news") if task == "films" else ("reviews",):
                    run = {"model": model, "intermediate": source, "task": task, "family": family, "setting": setting}
                    run |= {"recipe": "finetune", "method": "finetune", "head": "drop", "size": size}
                    run |= {"n_train": n_train, "metric": "accuracy", "without_mean": 0.6, "with_mean": 0.6 + gain}
                    budget = {"budget_mean": 0.61} if size == "200" else {}
                    rows.append({**run, **budget, **_difference(gain, "difference", "difference")})
    return pd.DataFrame(rows, columns=tables.COLUMNS["intermediate"])


def _ablations() -> dict[str, list[dict]]:
    """Six layers: two more progressive surgeries, probes, blocks, single layers and permutations of all tasks."""
    rows: dict[str, list[dict]] = {}

    def add(name: str, *parts: dict) -> None:
        rows.setdefault(name, []).append({key: value for part in parts for key, value in part.items()})

    for task, metric in METRICS.items():
        for size, n_train in SIZES.items():
            run = {"model": "tiny", "task": task, "recipe": "finetune", "size": size, "n_train": n_train}
            run |= {"metric": metric, "surgery": "resets"}
            probed = {"intermediate": "none", "recipe": "extract"}
            for depth in range(7):
                score = 0.5 + depth * 0.01 * math.log10(n_train)
                add("layer_probes", run, probed, {"layer": depth}, _estimate(0.4 + n_train / 1e5 + depth / 100))
                for seed in (1, 2, 3):
                    add("layer_scores", run, {"depth": depth, "seed": seed, "value": score + (seed - 2) / 100})
                if depth > 0:
                    gain = {1: 0.1, 2: -0.05}.get(depth, 0.02)
                    add("layer_gains", run, {"layer": depth}, _difference(gain, "gain", "gain"))
                variant = {"reference": "resets", "variant": "keeps", "changed": "biases: keep for reset"}
                add("surgery_variants", run, variant, {"depth": depth}, _difference(0.03, "difference", "difference"))
                add("layers_kept", run, {"intermediate": "none", "surgery": "keeps", "depth": depth}, _estimate(score))
            mean = _difference(0.04, "difference", "difference")
            add("surgery_variants", run, variant, {"depth": None}, mean)
        levels = {**_estimate(0.6, "full_"), **_estimate(0.5, "none_")}
        for surgery, kind, width in (("blocks", "block", 3), ("kept", "preserve", 3), ("singles", "single", 1)):
            for lowest in range(1, 8 - width):
                place = {"surgery": surgery, "kind": kind, "lowest": lowest, "highest": lowest + width - 1}
                add("localised", run, place, _estimate(0.5 + lowest / 100), levels)
        for permutation in range(1, 11):
            place = {"surgery": "shuffled", "permutation": permutation, "order": "6 5 4 3 2 1"}
            add("permutations", run, place, _estimate(0.5 + permutation / 100), levels)
        add("permutations", run, {"surgery": "shuffled"}, _estimate(0.3), levels)
    return rows


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

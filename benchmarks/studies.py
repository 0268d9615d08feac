"""Ours, as a user runs it: a generated configuration in a folder of its own, the package's command line, Snakemake.

All that the benchmarks know of the package's layout is here.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.process import Usage, run

MODEL, TASK = "encoder", "sentences"

# Snakemake rests a tenth of a second at each job that it touches: an hour for tens of thousands.
_TOUCH = (
    "from snakemake.executors import touch; touch.Executor.SLEEPING_TIME = 0; from snakemake.cli import main; main()"
)


def recipe(learning_rate: float, epochs: int, batch_size: int) -> dict[str, Any]:
    """run_glue's optimisation: no warm-up, linear decay, no weight decay, clipping at 1."""
    return {
        "method": "finetune",
        "learning_rate": learning_rate,
        "epochs": epochs,
        "batch_size": batch_size,
        "warmup": 0.0,
    }


def configuration(
    model: Path, layers: int, data: Path, recipes: dict[str, dict[str, Any]], seeds: list[int], max_length: int
) -> dict[str, Any]:
    """A study of one model on the sentences of `data`, every recipe with every seed on all training rows."""
    return {
        "study": "benchmark",
        "artifacts": {
            MODEL: {"source": "path", "path": str(model.resolve())},
            TASK: {"source": "path", "path": str(data.resolve())},
        },
        "models": {MODEL: {"artifact": MODEL, "layers": layers}},
        "tasks": {
            TASK: {
                "type": "sequence_classification",
                "artifact": TASK,
                "files": {split: f"{split}.csv" for split in ("train", "validation", "test")},
                "labels": {"0": "negative", "1": "positive"},
                "max_length": max_length,
            }
        },
        "recipes": recipes,
        "experiments": [
            {"models": [MODEL], "tasks": [TASK], "recipes": list(recipes), "sizes": ["all"], "seeds": seeds}
        ],
    }


@dataclass(frozen=True)
class Study:
    """A folder with a configuration; `make` empties it first."""

    folder: Path

    @staticmethod
    def make(folder: Path, config: dict[str, Any]) -> Study:
        """A folder in which nothing has been run."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        return Study(folder)

    def snakemake(self, *arguments: str, cores: int = 1) -> Usage:
        """Run Snakemake in the folder."""
        return run([sys.executable, "-m", "snakemake", *self._where(cores), *arguments])

    def declare_finished(self) -> None:
        """Have Snakemake take the files that are there for its own, made just now by what the rules are now."""
        run([sys.executable, "-c", _TOUCH, *self._where(1), "--touch", "--forceall"])

    def _where(self, cores: int) -> list[str]:
        return ["--directory", str(self.folder), "--cores", str(cores)]

    def prepare(self) -> None:
        """Fetch the model and prepare the data, so that what is left of the study is training."""
        for rule in ("download", "prepare_task"):
            self.snakemake("--until", rule)

    def train(self, recipe: str, core: int) -> Usage:
        """Train all seeds of a recipe in one process on one core, as the rule's job does."""
        cell = f"{MODEL}/none/{TASK}/{recipe}/none/nall"
        return run([sys.executable, "-m", "transfer_atlas", "train", cell], folder=self.folder, pinned_to=[core])

    def forget(self) -> None:
        """Remove finished runs, so that the next training trains."""
        shutil.rmtree(self.folder / "results" / "store", ignore_errors=True)

    def runs(self) -> pd.DataFrame:
        """The tables of all cells: a row for each run, split and metric."""
        files = sorted((self.folder / "results" / "cells").rglob("*.parquet"))
        return pd.concat([pd.read_parquet(file) for file in files if ".predictions." not in file.name])

    def accuracies(self) -> dict[int, float]:
        """Test accuracy by seed, of a study with one recipe."""
        table = self.runs()
        chosen = table[(table["split"] == "test") & (table["metric"] == "accuracy")]
        return {int(seed): float(value) for seed, value in zip(chosen["seed"], chosen["value"], strict=True)}


def layers_of(model: Path) -> int:
    """Number of transformer layers, from the model's own config."""
    return int(json.loads((model / "config.json").read_text(encoding="utf-8"))["num_hidden_layers"])

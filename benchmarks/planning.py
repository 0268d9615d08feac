"""(e) Planning: what Snakemake and the words before the first job take, from the call to the answer.

A generated study of 1,000, 10,000 and 50,000 runs: five models, eight tasks, five recipes (two of them on frozen
features), five seeds, and as many train sizes as it takes. Measured are a dry run in a folder where nothing has been
trained, a call where everything is finished, and `check`, which is what the first lines of a real call cost.

Nothing is trained: what the rules would make is made up, as empty files, and declared finished with
`snakemake --touch`; the run store holds a made-up result for every run.
"""

from __future__ import annotations

import csv
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.process import Usage, run
from benchmarks.studies import Study
from transfer_atlas.analysis.intervals import estimate

MODELS, TASKS, SEEDS = 5, 8, 5
RECIPES = {
    "small_steps": {"method": "finetune", "learning_rate": 2e-5},
    "large_steps": {"method": "finetune", "learning_rate": 5e-5},
    "long": {"method": "finetune", "learning_rate": 2e-5, "epochs": 10},
    "linear": {"method": "extract", "learning_rate": 1e-2},
    "mlp": {"method": "extract", "head": "scalar_mix_mlp", "learning_rate": 1e-3},
}
TARGETS = {("planned", 10_000): 5.0, ("nothing to do", 10_000): 3.0}
LARGEST_SIZE = 1000


def configuration(given: Path, runs: int) -> dict[str, Any]:
    """A study of so many runs (a multiple of those of one train size)."""
    sizes = runs // (MODELS * TASKS * len(RECIPES) * SEEDS)
    task = {"type": "sequence_classification", "files": {"train": str(given / "rows.csv")}}
    # Entries that differ in their names only would ask for one and the same run.
    tasks = {f"task{k}": {**task, "max_length": 16 + k} for k in range(TASKS)}
    models = {f"model{k}": {"artifact": "encoder", "layers": 6 + k} for k in range(MODELS)}
    return {
        "study": "planning",
        "artifacts": {"encoder": {"source": "path", "path": str(given / "encoder")}},
        "models": models,
        "tasks": tasks,
        "recipes": RECIPES,
        "experiments": [
            {
                "models": list(models),
                "tasks": list(tasks),
                "recipes": list(RECIPES),
                "sizes": [LARGEST_SIZE * (k + 1) // sizes for k in range(sizes)],
                "seeds": SEEDS,
            }
        ],
    }


def give(folder: Path) -> None:
    """A model of which only the config is ever read, and rows to split."""
    (folder / "encoder").mkdir(parents=True, exist_ok=True)
    (folder / "encoder" / "config.json").write_text('{"hidden_size": 384, "num_hidden_layers": 6}\n')
    with open(folder / "rows.csv", "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["text", "label"])
        table.writerows([f"text number {k}", k % 2] for k in range(2 * LARGEST_SIZE))


def prepared(folder: Path, runs: int) -> Study:
    """A study whose data are ready and of which nothing has been trained."""
    give(folder / "given")
    study = Study.make(folder / "study", configuration((folder / "given").resolve(), runs))
    study.prepare()
    return study


def finish(study: Study) -> None:
    """Make up every file that is missing, then a result in the store for every run."""
    summary = study.snakemake("--summary").output
    missing = re.findall(r"^(results/\S+)\t-\t.*\tmissing\t", summary, re.M)
    for name in missing:
        path = study.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    study.declare_finished()
    run([sys.executable, "-m", "benchmarks.made_up_store"], folder=study.folder)


def check(study: Study) -> Usage:
    """What a study consists of, and the time it will take."""
    return run([sys.executable, "-m", "transfer_atlas", "check"], folder=study.folder)


def timed(call: Callable[[], Usage], repeats: int) -> list[float]:
    """Wall seconds of each call."""
    return [call().wall_seconds for _ in range(repeats)]


def measure(folder: Path, sizes: list[int], repeats: int = 3) -> dict[str, Any]:
    """Time planning at each number of runs."""
    raw: dict[str, dict[str, list[float]]] = {}
    found = []
    for runs in sizes:
        study = prepared(folder / str(runs), runs)
        dry_run, words = partial(study.snakemake, "--dry-run", "--quiet"), partial(check, study)
        seconds = {"planned": timed(dry_run, repeats), "first lines": timed(words, repeats)}
        finish(study)
        seconds["nothing to do"] = timed(study.snakemake, repeats)
        seconds["first lines, all in the store"] = timed(words, repeats)
        raw[str(runs)] = seconds
        for what, values in seconds.items():
            target = TARGETS.get((what, runs))
            aim = {} if target is None else {"target": target, "at_least": False}
            found.append(figures.of(estimate(values), f"{runs:,} runs: {what}", "s", **aim))
        shutil.rmtree(folder / str(runs))
    return {"seconds": raw, "figures": found}

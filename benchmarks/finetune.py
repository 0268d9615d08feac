"""(a) Fine-tuning: ours against `transformers.Trainer`, per core-second, with the scores of all.

MiniLM-L6, 500 sentences of two classes, 3 epochs, batches of 32, learning rate 5e-5, then 872 sentences scored. All
systems see the same examples with the same seeds, each in processes of its own. Trainer runs one process for each
seed, ours one for all seeds, as a cell of a study does; a process's whole cost counts, imports and loading included.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.process import Usage, cores, run
from benchmarks.sentences import Sentences
from benchmarks.studies import Study, configuration, layers_of, recipe
from transfer_atlas.analysis.intervals import estimate, paired

LEARNING_RATE, EPOCHS, BATCH_SIZE, MAX_LENGTH = 5e-5, 3, 32, 128
RECIPE = "finetune"
TARGETS = {"default": 30.0, "best": 3.0}
WHAT = {"default": "Trainer default", "best": "Trainer best"}


@dataclass(frozen=True)
class System:
    """What one system's runs cost and scored.

    Attributes:
        core_seconds: A run's share of its process, imports and loading included; one value a process.
        training_core_seconds: The same without imports and loading: training and evaluation.
        accuracies: By seed.
    """

    core_seconds: list[float]
    training_core_seconds: list[float]
    accuracies: dict[int, float]


def trainer_command(system: str, model: Path, data: Path, seed: int, learning_rate: float = LEARNING_RATE) -> list[str]:
    """The command line of one Trainer run."""
    values = {
        "system": system,
        "model": model,
        "data": data,
        "seed": seed,
        "learning-rate": learning_rate,
        "epochs": EPOCHS,
        "batch-size": BATCH_SIZE,
        "max-length": MAX_LENGTH,
    }
    options = [word for name, value in values.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "benchmarks.trainer", *options]


def told(usage: Usage) -> dict[str, Any]:
    """What a Trainer run printed."""
    answer: dict[str, Any] = json.loads(usage.output.strip().splitlines()[-1])
    return answer


def trainer(system: str, model: Path, data: Path, seeds: list[int]) -> tuple[System, dict[str, str]]:
    """Trainer, a process for each seed: two threads on two cores for `default`, one on one for `best`."""
    threads = 1 if system == "best" else 2
    usages = [
        run(trainer_command(system, model, data, seed), pinned_to=cores()[:threads], threads=threads) for seed in seeds
    ]
    answers = [told(usage) for usage in usages]
    return System(
        [usage.core_seconds for usage in usages],
        [answer["core_seconds"] for answer in answers],
        {seed: answer["accuracy"] for seed, answer in zip(seeds, answers, strict=True)},
    ), answers[0]["versions"]


def ours(folder: Path, model: Path, data: Path, seeds: list[int], repeats: int) -> System:
    """Ours, a process for all seeds, as often as `repeats` says, each time from nothing.

    What imports and loading cost is what the same process costs when it finds all runs in the store.
    """
    config = configuration(
        model, layers_of(model), data, {RECIPE: recipe(LEARNING_RATE, EPOCHS, BATCH_SIZE)}, seeds, MAX_LENGTH
    )
    study = Study.make(folder, config)
    study.prepare()
    core = cores()[0]
    whole = []
    for _ in range(repeats):
        study.forget()
        whole.append(study.train(RECIPE, core).core_seconds)
    accuracies = study.accuracies()
    start = study.train(RECIPE, core).core_seconds
    return System(
        [seconds / len(seeds) for seconds in whole],
        [(seconds - start) / len(seeds) for seconds in whole],
        accuracies,
    )


def measure(model: Path, sentences: Sentences, folder: Path, seeds: list[int], repeats: int = 3) -> dict[str, Any]:
    """Run all systems. `figures` is what is reported, the rest is what it was computed from."""
    data = folder / "data"
    sentences.write(data)
    systems = {"ours": ours(folder / "study", model, data, seeds, repeats)}
    versions: dict[str, str] = {}
    for name in ("default", "best"):
        systems[name], versions = trainer(name, model, data, seeds)
    return {
        "data": sentences.name,
        "seeds": seeds,
        "versions": versions,
        "systems": {name: vars(system) for name, system in systems.items()},
        "figures": compare(systems),
    }


def compare(systems: dict[str, System]) -> list[Figure]:
    """Ratios of core-seconds, and scores with their differences."""
    ours = systems["ours"]
    found = []
    for name, target in TARGETS.items():
        other, what = systems[name], WHAT[name]
        ratio = figures.ratio(other.core_seconds, ours.core_seconds)
        found.append(figures.of(ratio, f"{what} / ours, core-seconds", "x", target=target, at_least=True))
        ratio = figures.ratio(other.training_core_seconds, ours.training_core_seconds)
        found.append(figures.of(ratio, f"{what} / ours, core-seconds of training and evaluation", "x"))
    for name, system in systems.items():
        what = WHAT.get(name, "ours")
        found.append(figures.of(estimate(system.core_seconds), f"{what}: a run", "core-s"))
        found.append(figures.of(estimate(list(system.accuracies.values())), f"{what}: accuracy", ""))
    for name, what in WHAT.items():
        difference = paired(ours.accuracies, systems[name].accuracies)
        found.append(figures.of(difference, f"accuracy, ours - {what}", "", must_hold=0.0))
    return found

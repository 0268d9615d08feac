"""A results folder made by hand: prepared tasks, a fetched model, finished runs, none of it from real training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas import atomic, plan, study
from transfer_atlas.configuration import problems
from transfer_atlas.identity import digest_of
from transfer_atlas.plan import Cell, Run
from transfer_atlas.settings import Settings
from transfer_atlas.training.store import PREDICTIONS, Store

OWN_FILES = ("train.csv", "test.csv", "pairs.tsv", "topics.jsonl")
SOUND = Path(__file__).parents[1] / "sound_configuration.yaml"


class Results:
    """The results folder of the working folder."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.store = Store(plan.STORE)

    def fetch(self, artifact: str, **files: Any) -> None:
        """An artifact is there; keywords are JSON files of it."""
        folder = plan.artifact_folder(artifact)
        atomic.write_json(folder / "manifest.json", {"digest": f"artifact {artifact}"})
        for name, content in files.items():
            atomic.write_json(folder / "files" / f"{name}.json", content)

    def prepare(self, task: str, train: int = 100, labels: Sequence[str] | None = ("a", "b")) -> None:
        """A task is prepared, with so many training rows and these classes."""
        stats = {
            "digest": f"data {task}",
            "labels": labels,
            "rows": {"train": train, "validation": 20, "test": 30},
            "words": {"train": {"mean": 10.0}},
        }
        atomic.write_json(plan.task_folder(task) / "stats.json", stats)

    def decontaminate(self, intermediate: str, train: int = 100, digest: str | None = None) -> None:
        """What an intermediate training leaves out is known; so many training rows are left."""
        left_out = {"digest": digest, "train_rows": train, "left_out": {"train": [], "validation": []}}
        atomic.write_json(plan.left_out_file(intermediate), left_out)

    def prepare_everything(self) -> None:
        """Everything but training is done."""
        for artifact in self.settings.artifacts:
            self.fetch(artifact, config={"hidden_size": 32})
        for task in self.settings.tasks:
            self.prepare(task)
        for intermediate in self.settings.intermediates:
            self.decontaminate(intermediate)

    def finish(self, cell: Cell, run: Run, *, seconds: float = 2.0, tokens: int = 1000, score: float = 0.5) -> str:
        """A run is in the store, with this score on validation in the main metric; its digest."""
        identity = plan.run_identity(self.settings, cell, run, study.sources())
        digest = digest_of(identity)
        atomic.write_text(self.store.folder(digest) / PREDICTIONS, "predictions")
        facts = {"seconds": seconds, "tokens": tokens, "diverged": False}
        values = [{"split": "validation", "metric": self.settings.tasks[cell.task].main_metric, "value": score}]
        self.store.finish(digest, {"identity": identity, "values": values, "facts": facts})
        return digest

    def cell(self, name: str) -> Cell:
        """A cell of the plan."""
        return plan.expand(self.settings).cells[name]


@pytest.fixture
def settings() -> Settings:
    """The small configuration."""
    return problems.load(problems.read_files([SOUND]), [SOUND])


@pytest.fixture
def results(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Results:
    """An empty results folder in a working folder that holds the configuration's own files."""
    monkeypatch.chdir(tmp_path)
    for file in OWN_FILES:
        (tmp_path / file).touch()
    return Results(settings)


@pytest.fixture
def on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a study whose jobs compute on the CPU, in float32 whatever is asked for."""
    import torch

    from transfer_atlas.training import device

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(device, "resolve_precision", lambda *_: "float32")
    return tmp_path

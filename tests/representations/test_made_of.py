"""Representations say what they were made of: other weights or data give other contents of their manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from transfer_atlas import atomic, plan
from transfer_atlas.plan import State
from transfer_atlas.settings import Settings
from transfer_atlas.steps.extract_features import made_of

TASK = {"type": "sequence_classification", "files": {"train": "train.csv"}}
AFTER = State("tiny", "before", "target", 1)
PRETRAINED = State("tiny", plan.NONE, "target", None)


def settings(max_length: int = 16) -> Settings:
    return Settings.model_validate(
        {
            "artifacts": {"encoder": {"source": "path", "path": "encoder"}},
            "models": {"tiny": {"artifact": "encoder", "layers": 2}},
            "tasks": {"target": {**TASK, "max_length": max_length}, "first": TASK},
            "recipes": {"finetune": {"method": "finetune", "learning_rate": 0.1}},
            "intermediates": {"before": {"task": "first", "recipe": "finetune"}},
            "experiments": [{"models": ["tiny"], "tasks": ["target"], "recipes": ["finetune"]}],
        }
    )


@pytest.fixture(autouse=True)
def _made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atomic.write_json(plan.manifest_file("encoder"), {"digest": "encoder"})
    atomic.write_json(plan.training_file(AFTER), {"digest": "trained"})
    atomic.write_json(plan.task_folder("target") / "stats.json", {"digest": "rows"})


def test_what_is_the_same_is_made_of_the_same() -> None:
    assert made_of(settings(), AFTER, "mean") == made_of(settings(), AFTER, "mean")


@pytest.mark.parametrize(
    ("state", "file"),
    [
        (AFTER, plan.training_file(AFTER)),
        (PRETRAINED, plan.manifest_file("encoder")),
        (AFTER, plan.task_folder("target") / "stats.json"),
    ],
    ids=["trained anew", "another encoder", "other rows"],
)
def test_another_digest_makes_others(state: State, file: Path) -> None:
    before = made_of(settings(), state, "mean")
    atomic.write_json(file, {"digest": "another"})
    assert made_of(settings(), state, "mean") != before


def test_another_setting_makes_others() -> None:
    assert made_of(settings(max_length=32), AFTER, "mean") != made_of(settings(), AFTER, "mean")

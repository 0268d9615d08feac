"""`store verify` trains a head on all words anew, and sees when what it reads has changed."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer_atlas import atomic, plan, store_commands, study
from transfer_atlas.errors import UserError
from transfer_atlas.plan import State
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.training.cell import Job
from transfer_atlas.training.store import Store

TINY = {
    "artifacts": {"encoder": {"source": "path", "path": "encoder"}},
    "models": {"tiny": {"artifact": "encoder", "layers": 3}},
    "tasks": {
        "names": {
            "type": "token_labelling",
            "files": {"train": "train.conll"},
            "columns": ["text", "label"],
            "tags": "bio",
            "max_length": 8,
        }
    },
    "recipes": {
        "bilstm_crf": {
            "method": "extract",
            "head": "bilstm_crf",
            "hidden": 4,
            "learning_rate": 0.03,
            "min_steps": 30,
            "search": {"learning_rate": [0.03, 0.05]},
        }
    },
    "experiments": [{"models": ["tiny"], "tasks": ["names"], "recipes": ["bilstm_crf"], "seeds": 1}],
}


@pytest.fixture
def settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_encoder: Callable[..., Path], sentences: Callable
) -> Settings:
    """A finished cell in the working folder: its task prepared, its states stored, its head trained."""
    from transfer_atlas.steps import extract_features, prepare_task, train_sequence_heads

    monkeypatch.chdir(tmp_path)
    settings = Settings.model_validate(TINY)
    atomic.write_json(plan.manifest_file("encoder"), {"digest": "encoder"})
    shutil.copytree(make_encoder(), plan.model_folder(settings, "tiny"))
    lines = [[f"{word} {'B-X' if word < 'w4' else 'O'}" for word in text.split()] for text in sentences(30)]
    Path("train.conll").write_text("\n\n".join("\n".join(one) for one in lines) + "\n", encoding="utf-8")
    prepare_task.run("names", settings.tasks["names"], tmp_path, plan.task_folder("names"))
    bundles = plan.bundles(settings, plan.expand(settings))
    ((name, bundle),) = bundles.items()
    layout = plan.layout(settings, bundle.cells[0]).name
    state = State("tiny", plan.NONE, "names", None)
    extract_features.run(settings, state, layout, plan.representation_folder(state, layout))
    train_sequence_heads.run(Job(settings, bundle, study.sources(), Store(plan.STORE)))
    assert plan.table_file(name).is_file()
    return settings


def verify(settings: Settings) -> None:
    options: dict[str, Any] = {"task": None, "model": None, "unused": False, "sample": 9, "seed": 0, "yes": False}
    store_commands.run(settings, Namespace(action="verify", **options))


def test_the_same_again(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """Two trials and the run that they chose a rate for."""
    capsys.readouterr()
    verify(settings)
    said = capsys.readouterr().out
    assert "checksums: 3 of 3 finished runs are sound" in said
    assert said.count("recomputed: equal") == 3


def test_other_states_give_another_head(settings: Settings) -> None:
    folder = plan.representation_folder(State("tiny", plan.NONE, "names", None), "words.first")
    states = np.load(storage.states_file(folder, "test"))
    np.save(storage.states_file(folder, "test"), states[::-1])
    with pytest.raises(UserError, match="0 damaged and 3 different runs"):
        verify(settings)

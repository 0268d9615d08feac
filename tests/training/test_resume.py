"""A training that is killed at any update and goes on from its checkpoint ends in the bits of one never killed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas.training import device
from transfer_atlas.training.checkpoint import load_snapshot

DIGEST = "d" * 64
RECIPES: dict[str, dict[str, Any]] = {
    "dropout": {"drop": 0.2},
    "dropout, decay and the best epoch": {"drop": 0.2, "select": "best", "weight_decay": 5.0, "learning_rate": 3e-3},
    "bfloat16": {"drop": 0.2, "precision": "bfloat16"},
    "unfreezing, layer decay and a slanted triangle": {
        "drop": 0.2,
        "epochs": 5,
        "unfreeze_epochs": 1,
        "layer_decay": 0.5,
        "schedule": "slanted_triangular",
        "weight_decay": 5.0,
        "select": "best",
    },
    "frozen layers": {"drop": 0.2, "frozen_layers": 1, "weight_decay": 5.0},
}
HEADS: dict[str, dict[str, Any]] = {
    "linear": {"learning_rate": 0.01, "head_dropout": 0.2},
    "scalar mix and the best epoch": {
        "learning_rate": 0.01,
        "head": "scalar_mix_mlp",
        "hidden": 8,
        "head_dropout": 0.2,
        "select": "best",
    },
}


@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES.keys())
def test_fine_tuning(
    settings: dict[str, Any], task_data: Callable, recipe: Callable, tune: Callable, assert_resumes: Callable
) -> None:
    assert_resumes(partial(tune, task_data(), recipe(**settings), seed=2))


@pytest.mark.parametrize("kind", ["xlnet", "mpnet"])
def test_padded_encoders(
    kind: str, load: Callable, task_data: Callable, recipe: Callable, tune: Callable, assert_resumes: Callable
) -> None:
    """XLNet has a parameter without a gradient."""
    encoder = load(kind)
    assert_resumes(partial(tune, task_data(encoder=encoder), recipe(drop=0.2), encoder=encoder))


@pytest.mark.parametrize("settings", HEADS.values(), ids=HEADS.keys())
def test_heads(
    settings: dict[str, Any], feature_data: Callable, recipe: Callable, tune_head: Callable, assert_resumes: Callable
) -> None:
    assert_resumes(partial(tune_head, feature_data(), recipe(method="extract", **settings)))


def test_killed_again_and_again(
    task_data: Callable, recipe: Callable, tune: Callable, resumed: Callable, assert_same_bits: Callable
) -> None:
    train = partial(tune, task_data(), recipe(drop=0.2, select="best"))
    again, _ = resumed(train, 2, 3, 7)
    assert_same_bits(train(), again)


def test_the_chosen_epoch_survives(
    task_data: Callable, recipe: Callable, tune: Callable, watch: Callable, killed: type[Exception], tmp_path: Path
) -> None:
    """Killed behind its best epoch, the run still knows that epoch's score and weights."""
    train = partial(tune, task_data(), recipe(select="best", epochs=6, learning_rate=3e-3, schedule="constant"), seed=2)
    chosen = train(observer=watch()).fitted.chosen_step
    assert chosen < 15
    with pytest.raises(killed):
        train(observer=watch(tmp_path / "checkpoint", kill_at=16))
    snapshot = load_snapshot(tmp_path / "checkpoint", DIGEST)
    assert snapshot is not None
    assert snapshot.chosen_step == chosen
    assert snapshot.best_score is not None
    assert {name.removeprefix("best.") for name in snapshot.tensors if name.startswith("best.")} == {
        name.removeprefix("model.") for name in snapshot.tensors if name.startswith("model.")
    }


def test_a_checkpoint_is_no_older_than_what_it_counts(
    task_data: Callable, recipe: Callable, tune: Callable, watch: Callable, killed: type[Exception], tmp_path: Path
) -> None:
    data = task_data()
    seen = watch(tmp_path / "checkpoint", kill_at=5)
    with pytest.raises(killed):
        tune(data, recipe(), observer=seen)
    snapshot = load_snapshot(tmp_path / "checkpoint", DIGEST)
    assert snapshot is not None
    assert snapshot.step == 5
    assert snapshot.tokens == seen.tokens[-1]
    steps = {float(value) for name, value in snapshot.tensors.items() if name.startswith("adam.step.")}
    assert steps == {5.0}


def test_a_checkpoint_of_another_arithmetic_starts_the_run_anew(
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    resumed: Callable,
    assert_same_bits: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job killed on one machine may be retried on another, where `precision: auto` means something else."""
    train = partial(tune, task_data(), recipe(drop=0.2, precision="auto"))
    monkeypatch.setattr(device, "has_bfloat16", lambda _: False)
    again, _ = resumed(train, 4, meanwhile=lambda: monkeypatch.setattr(device, "has_bfloat16", lambda _: True))
    assert again.precision == "bfloat16"
    assert_same_bits(train(), again)

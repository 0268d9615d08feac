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
DROPOUT: dict[str, Any] = {"dropout": 0.2, "head_dropout": 0.2}
RECIPES: dict[str, dict[str, Any]] = {
    "dropout": DROPOUT,
    "dropout, decay and the best epoch": {**DROPOUT, "select": "best", "weight_decay": 5.0, "learning_rate": 3e-3},
    "bfloat16": {**DROPOUT, "precision": "bfloat16"},
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


def check_every_boundary(
    train: Callable[..., Any], path: Path, watch: Callable, killed: type[Exception], same: Callable
) -> None:
    whole = train(observer=watch())
    total = whole.fitted.steps
    assert total >= 6
    for step in range(1, total + 1):
        with pytest.raises(killed):
            train(observer=watch(path, kill_at=step))
        resumed = watch(path)
        same(whole, train(observer=resumed))
        assert resumed.first_step == (step + 1 if step < total else None)
        path.unlink()


@pytest.mark.parametrize("settings", RECIPES.values(), ids=RECIPES.keys())
def test_fine_tuning(
    settings: dict[str, Any],
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    watch: Callable,
    killed: type[Exception],
    assert_same_bits: Callable,
    tmp_path: Path,
) -> None:
    train = partial(tune, task_data(), recipe(**settings), seed=2)
    check_every_boundary(train, tmp_path / "checkpoint", watch, killed, assert_same_bits)


@pytest.mark.parametrize("settings", HEADS.values(), ids=HEADS.keys())
def test_heads(
    settings: dict[str, Any],
    feature_data: Callable,
    recipe: Callable,
    tune_head: Callable,
    watch: Callable,
    killed: type[Exception],
    assert_same_bits: Callable,
    tmp_path: Path,
) -> None:
    train = partial(tune_head, feature_data(), recipe(method="extract", **settings))
    check_every_boundary(train, tmp_path / "checkpoint", watch, killed, assert_same_bits)


def test_killed_again_and_again(
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    watch: Callable,
    killed: type[Exception],
    assert_same_bits: Callable,
    tmp_path: Path,
) -> None:
    train = partial(tune, task_data(), recipe(**DROPOUT, select="best"))
    for step in (2, 3, 7):
        with pytest.raises(killed):
            train(observer=watch(tmp_path / "checkpoint", kill_at=step))
    assert_same_bits(train(observer=watch()), train(observer=watch(tmp_path / "checkpoint")))


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
    watch: Callable,
    killed: type[Exception],
    assert_same_bits: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A job killed on one machine may be retried on another, where `precision: auto` means something else."""
    train = partial(tune, task_data(), recipe(**DROPOUT, precision="auto"))
    monkeypatch.setattr(device, "has_bfloat16", lambda _: False)
    with pytest.raises(killed):
        train(observer=watch(tmp_path / "checkpoint", kill_at=4))
    monkeypatch.setattr(device, "has_bfloat16", lambda _: True)
    assert_same_bits(train(observer=watch()), train(observer=watch(tmp_path / "checkpoint")))

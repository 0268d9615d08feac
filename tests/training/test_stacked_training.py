"""Heads trained together: each ends in the bits that it has alone, and in the numbers of a training written plainly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transfer_atlas import updates
from transfer_atlas.models.dropout import keep_mask
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.scalar_mix import ScalarMixMLP
from transfer_atlas.settings import Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import head_training, schedule
from transfer_atlas.training.checkpoint import load_snapshot
from transfer_atlas.training.head_training import FeatureData, HeadRun, stacks, train_heads
from transfer_atlas.training.targets import Scaling, scaled, unscaled

DIGEST = "d" * 64
CLASSES, REGRESSION = "sequence_classification", "pair_regression"
LINEAR: dict[str, Any] = {"method": "extract", "learning_rate": 0.02, "layer": 1}
MIX: dict[str, Any] = {"method": "extract", "learning_rate": 0.02, "head": "scalar_mix_mlp", "hidden": 24}


def varied(recipe: Callable[..., Recipe], data: list[FeatureData], base: dict[str, Any]) -> list[HeadRun]:
    """Heads of one shape that differ in all that heads of a stack may differ in."""
    changes: list[dict[str, Any]] = [
        {},
        {"learning_rate": 0.1},
        {"weight_decay": 3.0},
        {"weight_decay": 3.0, "head_learning_rate": 0.05},
        {"head_dropout": 0.3},
        {"head_dropout": 0.5, "clip": None},
        {"clip": 0.01},
        {"warmup": 0.5, "schedule": "constant"},
        {"adam_epsilon": 1e-3},
        {"warmup": 0.3, "schedule": "slanted_triangular"},
    ]
    changes += [] if base.get("head") else [{"layer": 0}, {"layer": "last", "head_dropout": 0.3}]
    runs = [HeadRun(data[0], recipe(**{**base, **change}), "all", 1) for change in changes]
    runs += [HeadRun(data[k % len(data)], recipe(**{**base, "head_dropout": 0.3}), 12, k) for k in range(2, 6)]
    return runs


@pytest.fixture
def data(feature_data: Callable[..., FeatureData]) -> Callable[[str], list[FeatureData]]:
    """Two states of one encoder on one task; features and hidden units that are no whole vectors."""

    def of(kind: str = CLASSES) -> list[FeatureData]:
        first = feature_data(kind)
        states = {split: values[:, :, :13].copy() for split, values in first.states.items()}
        other = {split: np.random.default_rng(9).normal(size=v.shape).astype(np.float32) for split, v in states.items()}
        return [replace(first, states=values, _rows={}) for values in (states, other)]

    return of


@pytest.mark.parametrize("select", ["last", "best"])
@pytest.mark.parametrize("kind", [CLASSES, REGRESSION])
@pytest.mark.parametrize("base", [LINEAR, MIX], ids=["linear", "scalar mix"])
def test_a_heads_bits_are_its_own(
    base: dict[str, Any],
    kind: str,
    select: str,
    data: Callable,
    recipe: Callable,
    watch: Callable,
    assert_same_bits: Callable,
) -> None:
    """Alone, with others, in any order."""
    runs = varied(recipe, data(kind), {**base, "select": select})
    assert stacks(runs) == [list(range(len(runs)))]
    whole = train_heads(runs, watch())
    for run, trained in zip(runs, whole, strict=True):
        assert_same_bits(trained, train_heads([run], watch())[0])
    order = np.random.default_rng(0).permutation(len(runs))
    for k, trained in zip(order, train_heads([runs[k] for k in order], watch()), strict=True):
        assert_same_bits(whole[k], trained)
    few = [3, 9, 4]
    for k, trained in zip(few, train_heads([runs[k] for k in few], watch()), strict=True):
        assert_same_bits(whole[k], trained)
    different = {trained.splits["test"].outputs.tobytes() for trained in whole}
    assert len(different) == len(runs)


# --- the same training, written plainly ---------------------------------------------------------------------


def plain_scores(head: nn.Module, states: torch.Tensor, masks: Callable[[int], Any]) -> torch.Tensor:
    """Scores of a head; `masks(width)` is what to multiply features with."""
    if isinstance(head, LinearHead):
        return head.output(states * masks(states.shape[-1]))
    assert isinstance(head, ScalarMixMLP)
    mixed = head.gamma * (torch.softmax(head.mix, 0)[:, None] * states).sum(1)
    hidden = torch.relu(head.hidden(mixed * masks(mixed.shape[-1])))
    return head.output(hidden * masks(hidden.shape[-1]))


def plain_training(run: HeadRun) -> np.ndarray:
    """One head in float64, step by step as the textbook has it; its scores on test."""
    recipe, data, layer = run.recipe, run.data, run.layer
    head = run.new_head().double()
    rows = nested_subset(len(data.splits["train"]), run.size, run.seed)

    def states(split: str) -> torch.Tensor:
        values = torch.from_numpy(data.states[split]).double()
        return values if layer is None else values[:, layer]

    labels = torch.from_numpy(data.splits["train"].labels[rows])
    scaling = Scaling.of(labels)
    targets = scaled(labels, scaling)
    weights = [p for p in head.parameters() if p.ndim == 2]
    others = [p for p in head.parameters() if p.ndim < 2]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1.0, eps=recipe.adam_epsilon, foreach=False)
    order = torch.Generator().manual_seed(stream_seed(run.seed, "order"))
    dropout = torch.Generator().manual_seed(stream_seed(run.seed, "dropout"))
    n, p = len(rows), recipe.head_dropout
    total = updates.total_steps(n, recipe)
    step = 0
    while step < total:
        for batch in torch.randperm(n, generator=order).split(recipe.batch_size):

            def masks(width: int, size: int = len(batch)) -> Any:
                return keep_mask(torch.Size((size, width)), p, dropout).double() / (1 - p) if p else 1.0

            outputs = plain_scores(head, states("train")[rows][batch], masks)
            if scaling is None:
                loss = nn.functional.cross_entropy(outputs, targets[batch])
            else:
                loss = nn.functional.mse_loss(outputs[:, 0], targets[batch])
            optimiser.zero_grad()
            loss.backward()
            if recipe.clip is not None:
                nn.utils.clip_grad_norm_(head.parameters(), recipe.clip)
            for group in optimiser.param_groups:
                peak = recipe.head_learning_rate or recipe.learning_rate
                group["lr"] = peak * schedule.factor(step, total, recipe.warmup, recipe.schedule)
            optimiser.step()
            step += 1
    with torch.no_grad():
        return unscaled(plain_scores(head, states("test"), lambda _: 1.0).numpy(), scaling)


@pytest.mark.parametrize("kind", [CLASSES, REGRESSION])
@pytest.mark.parametrize("base", [LINEAR, MIX], ids=["linear", "scalar mix"])
def test_each_head_of_a_stack_is_the_plain_training(
    base: dict[str, Any], kind: str, data: Callable, recipe: Callable, watch: Callable
) -> None:
    """Also with dropout: the masks are those of the run's own stream."""
    # A usual epsilon makes the first updates signs of gradients, where rounding may turn one that is almost 0.
    runs = varied(recipe, data(kind), {**base, "adam_epsilon": 1e-4})
    for run, trained in zip(runs, train_heads(runs, watch()), strict=True):
        np.testing.assert_allclose(trained.splits["test"].outputs, plain_training(run), rtol=1e-4, atol=2e-5)


def test_the_best_epoch_is_each_heads_own(data: Callable, recipe: Callable, watch: Callable) -> None:
    """Stopped after its best epoch, a head of a constant rate has the scores of the one that went on."""
    base = {**LINEAR, "schedule": "constant", "warmup": 0.0, "epochs": 6, "learning_rate": 0.1}
    runs = [HeadRun(data()[0], recipe(**base, select="best"), "all", seed) for seed in range(8)]
    chosen = train_heads(runs, watch())
    steps = [trained.fitted.chosen_step for trained in chosen]
    assert len(set(steps)) > 1
    for run, trained in zip(runs, chosen, strict=True):
        epochs = trained.fitted.chosen_step // 3
        (short,) = train_heads([replace(run, recipe=recipe(**{**base, "epochs": epochs}))], watch())
        assert np.array_equal(short.splits["test"].outputs, trained.splits["test"].outputs)


# --- which heads are stacked --------------------------------------------------------------------------------


def test_heads_of_different_shapes_are_in_different_stacks(data: Callable, recipe: Callable) -> None:
    first = data()[0]
    changes: list[dict[str, Any]] = [{}, {"head": "scalar_mix_mlp"}, {"batch_size": 4}, {"epochs": 2}]
    changes += [{"select": "best"}]
    runs = [HeadRun(first, recipe(**{**LINEAR, "layer": "last", **change}), "all", 1) for change in changes]
    runs += [HeadRun(first, runs[0].recipe, 7, 1), HeadRun(data(REGRESSION)[0], runs[0].recipe, "all", 1)]
    runs += [replace(runs[0], seed=2), replace(runs[0], size=12)]
    found = stacks(runs)
    assert sorted(k for stack in found for k in stack) == list(range(len(runs)))
    assert [stack for stack in found if len(stack) > 1] == [[0, len(runs) - 2, len(runs) - 1]]


def test_a_stacks_memory_is_bounded(
    data: Callable, recipe: Callable, watch: Callable, assert_same_bits: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [HeadRun(data()[0], recipe(**MIX, head_dropout=0.1), "all", seed) for seed in range(5)]
    whole = train_heads(runs, watch())
    monkeypatch.setattr(head_training, "STACK_BYTES", 2 * head_training._bytes(runs[0]) + 1)
    assert stacks(runs) == [[0, 1], [2, 3], [4]]
    for stack in stacks(runs):
        for k, trained in zip(stack, train_heads([runs[k] for k in stack], watch()), strict=True):
            assert_same_bits(whole[k], trained)
    monkeypatch.setattr(head_training, "STACK_BYTES", 1)
    assert stacks(runs) == [[0], [1], [2], [3], [4]]


def test_seconds_are_shares_of_the_stack(data: Callable, recipe: Callable, watch: Callable) -> None:
    runs = [HeadRun(data()[0], recipe(**LINEAR), "all", seed) for seed in range(4)]
    shares = {trained.fitted.seconds for trained in train_heads(runs, watch())}
    assert len(shares) == 1
    (alone,) = train_heads(runs[:1], watch())
    assert 0 < shares.pop() < alone.fitted.seconds


# --- killed and gone on -------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [LINEAR, {**MIX, "select": "best"}], ids=["linear", "scalar mix and the best epoch"])
def test_a_killed_stack_goes_on_bit_by_bit(
    base: dict[str, Any],
    data: Callable,
    recipe: Callable,
    watch: Callable,
    killed: type[Exception],
    assert_same_bits: Callable,
    tmp_path: Path,
) -> None:
    runs = varied(recipe, data(), base)
    whole = train_heads(runs, watch())
    for step in range(1, 10):
        path = tmp_path / f"{step}"
        with pytest.raises(killed):
            train_heads(runs, watch(path, kill_at=step))
        snapshot = load_snapshot(path, DIGEST)
        assert snapshot is not None
        assert snapshot.step == step
        resumed = watch(path)
        for first, second in zip(whole, train_heads(runs, resumed), strict=True):
            assert_same_bits(first, second)
        assert resumed.first_step == (step + 1 if step < 9 else None)

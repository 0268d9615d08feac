from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

from transfer_atlas import updates
from transfer_atlas.settings import Recipe
from transfer_atlas.training import schedule

Rewrite = Callable[..., Recipe]


@pytest.mark.parametrize("warmup", [0.0, 0.06, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("total", [1, 2, 7, 100])
@pytest.mark.parametrize("shape", ["linear", "constant"])
def test_factors_are_those_of_transformers(shape: str, total: int, warmup: float) -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    steps = int(warmup * total)
    if shape == "linear":
        reference = get_linear_schedule_with_warmup(optimiser, steps, total)
    else:
        reference = get_constant_schedule_with_warmup(optimiser, steps)
    expected = []
    for _ in range(total):
        expected.append(reference.get_last_lr()[0])
        optimiser.step()
        reference.step()
    assert [schedule.factor(step, total, warmup, shape) for step in range(total)] == pytest.approx(expected)


@pytest.mark.parametrize(("n", "batch", "steps"), [(1, 32, 1), (32, 32, 1), (33, 32, 2), (100, 5, 20)])
def test_steps_of_an_epoch(n: int, batch: int, steps: int) -> None:
    assert updates.steps_per_epoch(n, batch) == steps


@pytest.mark.parametrize(
    ("n", "min_steps", "total"),
    # 3 epochs in batches of 5; then whole epochs until min_steps is reached.
    [(12, 0, 9), (12, 9, 9), (12, 10, 12), (12, 100, 102), (4, 7, 7), (1000, 10, 600)],
)
def test_total_steps(n: int, min_steps: int, total: int, recipe: Rewrite) -> None:
    assert updates.total_steps(n, recipe(min_steps=min_steps)) == total


SHAPES = ["linear", "constant", "slanted_triangular"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("unfreeze", [None, 1, 2])
def test_unused_decay_is_what_adamw_does_to_a_weight_without_gradient(
    unfreeze: int | None, shape: str, recipe: Rewrite
) -> None:
    """An embedding under two layers, in epochs of 3 updates; embeddings that are frozen get no gradient at all."""
    chosen = recipe(
        learning_rate=0.1,
        weight_decay=0.5,
        warmup=0.3,
        schedule=shape,
        layer_decay=0.8,
        unfreeze_epochs=unfreeze,
        epochs=8,
    )
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimiser = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    first = 0 if unfreeze is None else 3 * 3 * unfreeze
    for step in range(24):
        assert schedule.unused_decay(chosen, step, 12, 2) == pytest.approx(weight.item(), abs=1e-12)
        optimiser.param_groups[0]["lr"] = 0.1 * 0.8**2 * schedule.factor(step, 24, 0.3, shape)
        weight.grad = torch.zeros_like(weight) if step >= first else None
        optimiser.step()
    assert weight.item() < 0.98


def test_without_weight_decay_unused_rows_keep_their_bits(recipe: Rewrite) -> None:
    assert schedule.unused_decay(recipe(), 9, 12, 2) == 1.0


# --- slanted triangular ------------------------------------------------------------------------------------


def eq_3(t: int, total: int, cut_frac: float, ratio: int = 32) -> float:
    """Howard & Ruder 2018, eq. 3, letter by letter."""
    cut = math.floor(total * cut_frac)
    p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
    return (1 + p * (ratio - 1)) / ratio


@pytest.mark.parametrize(("total", "cut_frac"), [(10, 0.1), (100, 0.1), (7, 3 / 7), (40, 0.25), (2, 0.5)])
def test_slanted_triangular_is_the_formula_where_the_cut_is_whole(total: int, cut_frac: float) -> None:
    found = [schedule.factor(step, total, cut_frac, "slanted_triangular") for step in range(total)]
    assert found == pytest.approx([eq_3(step, total, cut_frac) for step in range(total)])
    assert max(found) == 1.0
    assert found.index(1.0) == math.floor(total * cut_frac)


@pytest.mark.parametrize("warmup", [0.0, 0.06, 0.1, 0.3, 0.99])
@pytest.mark.parametrize("total", [1, 2, 7, 19, 100])
def test_slanted_triangular_stays_between_a_thirty_second_and_one(total: int, warmup: float) -> None:
    """The formula does not: with 19 updates and a tenth of warm-up its last rate is below zero."""
    found = [schedule.factor(step, total, warmup, "slanted_triangular") for step in range(total)]
    assert all(1 / 32 <= rate <= 1.0 for rate in found)
    top = found.index(1.0)
    assert top == int(warmup * total)
    assert found == sorted(found[:top]) + sorted(found[top:], reverse=True)
    assert eq_3(18, 19, 0.1) < 0


# --- depths ------------------------------------------------------------------------------------------------


def test_rates_fall_from_layer_to_layer(recipe: Rewrite) -> None:
    chosen = recipe(learning_rate=1.0, layer_decay=0.5)
    assert [schedule.peak_rate(chosen, depth, 3) for depth in (None, 3, 2, 1, 0)] == [1.0, 1.0, 0.5, 0.25, 0.125]
    faster = recipe(learning_rate=1.0, layer_decay=0.5, head_learning_rate=4.0)
    assert [schedule.peak_rate(faster, depth, 3) for depth in (None, 3, 0)] == [4.0, 1.0, 0.125]


@pytest.mark.parametrize(
    ("every", "lowest"), [(None, [0] * 9), (1, [4, 3, 2, 1, 0, 0, 0, 0, 0]), (2, [4, 4, 3, 3, 2, 2, 1, 1, 0])]
)
def test_layers_are_unfrozen_from_the_top(every: int | None, lowest: list[int], recipe: Rewrite) -> None:
    """Three layers: first the head (4), last the embeddings (0)."""
    chosen = recipe(unfreeze_epochs=every)
    assert [schedule.lowest_trained(chosen, epoch, 3) for epoch in range(9)] == lowest

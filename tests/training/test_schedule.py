from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

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
    assert schedule.steps_per_epoch(n, batch) == steps


@pytest.mark.parametrize(
    ("n", "min_steps", "total"),
    # 3 epochs in batches of 5; then whole epochs until min_steps is reached.
    [(12, 0, 9), (12, 9, 9), (12, 10, 12), (12, 100, 102), (4, 7, 7), (1000, 10, 600)],
)
def test_total_steps(n: int, min_steps: int, total: int, recipe: Rewrite) -> None:
    assert schedule.total_steps(n, recipe(min_steps=min_steps)) == total


@pytest.mark.parametrize("shape", ["linear", "constant"])
def test_unused_decay_is_what_adamw_does_to_a_weight_without_gradient(shape: str, recipe: Rewrite) -> None:
    total, chosen = recipe(learning_rate=0.1, weight_decay=0.5, warmup=0.3, schedule=shape), 14
    weight = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimiser = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    for step in range(chosen):
        optimiser.param_groups[0]["lr"] = 0.1 * schedule.factor(step, 20, 0.3, shape)
        weight.grad = torch.zeros_like(weight)
        optimiser.step()
    assert schedule.unused_decay(total, chosen, 20) == pytest.approx(weight.item())
    assert weight.item() < 0.8


def test_without_weight_decay_unused_rows_keep_their_bits(recipe: Rewrite) -> None:
    assert schedule.unused_decay(recipe(), 9, 9) == 1.0

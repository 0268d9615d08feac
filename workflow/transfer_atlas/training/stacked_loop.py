"""The training loop of stacked heads: R trainings of one shape in lockstep, as batched matrix products.

What `loop.fit` does for one model, for R heads at once: each with its own examples, order, dropout, learning rate,
decay and clipping. A head's result is the same bits whichever others share its stack (`models/stacked_heads.py` says
why; the optimiser's blocks are whole vectors for the same reason).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from transfer_atlas import updates
from transfer_atlas.models.stacked_heads import StackedHeads
from transfer_atlas.settings import Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.training import schedule
from transfer_atlas.training.feature_examples import StackedExamples
from transfer_atlas.training.loop import EVALUATION_BATCH, Fitted, Observer, Snapshot, on_cpu


@dataclass(frozen=True)
class Stack:
    """R heads of one shape and what they are trained on.

    Attributes:
        heads: The stacked modules.
        recipes, seeds: Of each head. Batch size, number of updates and `select` are the same for all.
        examples: What each head reads, with n examples.
        targets: [R, n] class indices (int64) or scores (float32).
        tokens: [R] tokens of all examples of each head.
    """

    heads: StackedHeads
    recipes: Sequence[Recipe]
    seeds: Sequence[int]
    examples: StackedExamples
    targets: Tensor
    tokens: Tensor


@dataclass
class Chosen:
    """Each head's best epoch so far: its score, the updates behind it ([R]) and the weights ([R, ...])."""

    score: Tensor
    step: Tensor
    weights: dict[str, Tensor] = field(default_factory=dict)


Pace = tuple[float, float, float, str]
"""Peak rate, epsilon, warm-up and schedule."""


def pace_and_decay(recipe: Recipe) -> tuple[Pace, float]:
    """What the optimiser needs of a recipe. Neighbours in a stack that agree in it are stepped together."""
    rate = recipe.head_learning_rate or recipe.learning_rate
    return (rate, recipe.adam_epsilon, recipe.warmup, recipe.schedule), recipe.weight_decay


def _blocks(keys: Iterable[Any]) -> Iterator[tuple[Any, slice]]:
    """Neighbours with the same key."""
    begin = 0
    for key, same in groupby(keys):
        block = slice(begin, begin + len(list(same)))
        yield key, block
        begin = block.stop


class _Optimiser:
    """AdamW (Loshchilov & Hutter 2019), fused, on blocks of neighbouring heads with equal settings."""

    def __init__(self, heads: nn.Module, recipes: Sequence[Recipe]):
        settings = [pace_and_decay(recipe) for recipe in recipes]
        # Biases and the mix's scalars have one axis a head; they do not decay.
        weights = [parameter for parameter in heads.parameters() if parameter.ndim > 2]
        others = [parameter for parameter in heads.parameters() if parameter.ndim == 2]
        self.blocks: list[tuple[nn.Parameter, slice, Tensor]] = []
        groups = [self._group(weights, block, *key) for key, block in _blocks(settings)]
        groups += [self._group(others, block, pace, 0.0) for pace, block in _blocks(pace for pace, _ in settings)]
        self.adam = torch.optim.AdamW(groups, fused=True)

    def _group(self, parameters: list[nn.Parameter], block: slice, pace: Pace, decay: float) -> dict[str, Any]:
        rate, epsilon, warmup, shape = pace
        views = [parameter.detach()[block] for parameter in parameters]
        self.blocks += [(parameter, block, view) for parameter, view in zip(parameters, views, strict=True)]
        group = {"params": views, "lr": rate, "eps": epsilon, "weight_decay": decay}
        return {**group, "peak": rate, "warmup": warmup, "schedule": shape}

    def step(self, step: int, total: int) -> None:
        """One update, number `step` (0-based) of `total`, from the parameters' gradients."""
        for group in self.adam.param_groups:
            group["lr"] = group["peak"] * schedule.factor(step, total, group["warmup"], group["schedule"])
        for parameter, block, view in self.blocks:
            assert parameter.grad is not None
            view.grad = parameter.grad[block]
        self.adam.step()

    def state(self) -> dict[str, Tensor]:
        """Moments and counts, by block."""
        return {
            f"adam.{number}.{key}": value
            for number, (_, _, view) in enumerate(self.blocks)
            for key, value in self.adam.state[view].items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for number, (_, _, view) in enumerate(self.blocks):
            self.adam.state[view] = {
                key: tensors[f"adam.{number}.{key}"].to(view.device) for key in ("step", "exp_avg", "exp_avg_sq")
            }


def _losses(scores: Tensor, targets: Tensor) -> Tensor:
    """Mean loss of each head, [R], of scores [R, outputs, B]: cross-entropy, or mean squared error for one score."""
    if targets.dtype == torch.int64:
        rows = scores.transpose(1, 2).reshape(-1, scores.shape[1])
        return nn.functional.cross_entropy(rows, targets.flatten(), reduction="none").view(targets.shape).mean(1)
    return (scores[:, 0] - targets).square().mean(1)


def _clip(heads: nn.Module, limits: Tensor) -> None:
    """Scale each head's gradients down to its largest norm ([R], infinite for none), as `clip_grad_norm_` does."""
    gradients = [parameter.grad for parameter in heads.parameters() if parameter.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients])
    factors = (limits / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    if bool((factors < 1.0).any()):
        for gradient in gradients:
            gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))


@torch.no_grad()
def predict(heads: StackedHeads, examples: StackedExamples) -> Tensor:
    """Scores of all examples of each head, [R, N, outputs] float32, in their order, on the CPU."""
    heads.eval()
    every = torch.arange(len(examples), device=examples.first.device).expand(len(examples.first), -1)
    parts = every.split(EVALUATION_BATCH, dim=1)
    return torch.cat([heads(examples.batch(part), part.shape[1]) for part in parts], dim=2).transpose(1, 2).cpu()


def _orders(stack: Stack, generators: dict[int, torch.Generator], device: torch.device) -> Tensor:
    """Each head's examples in the order of one epoch, [R, n]; heads of one seed have one order."""
    n = stack.targets.shape[1]
    drawn = {seed: torch.randperm(n, generator=generator) for seed, generator in generators.items()}
    return torch.stack([drawn[seed] for seed in stack.seeds]).to(device)


def _snapshot(
    stack: Stack,
    optimiser: _Optimiser,
    dropouts: Sequence[torch.Generator],
    chosen: Chosen,
    fitted: Fitted,
    device: torch.device,
) -> Snapshot:
    tensors = {f"heads.{name}": value for name, value in stack.heads.state_dict().items()}
    tensors |= optimiser.state()
    tensors |= {f"dropout.{number}": generator.get_state() for number, generator in enumerate(dropouts)}
    tensors |= {"best_score": chosen.score, "chosen_step": chosen.step}
    tensors |= {f"best.{name}": value for name, value in chosen.weights.items()}
    return Snapshot(fitted.steps, fitted.tokens, fitted.seconds, on_cpu(tensors), arithmetic=device.type)


def _restore(
    snapshot: Snapshot, stack: Stack, optimiser: _Optimiser, dropouts: Sequence[torch.Generator], device: torch.device
) -> Chosen:
    tensors = snapshot.tensors
    stack.heads.load_state_dict({k[6:]: value for k, value in tensors.items() if k.startswith("heads.")})
    optimiser.restore(tensors)
    for number, generator in enumerate(dropouts):
        generator.set_state(tensors[f"dropout.{number}"])
    weights = {k[5:]: value.to(device) for k, value in tensors.items() if k.startswith("best.")}
    return Chosen(tensors["best_score"], tensors["chosen_step"], weights)


def _choose(chosen: Chosen, scores: list[float], step: int, heads: nn.Module) -> None:
    """Keep the weights of the heads that have never been better."""
    now = torch.tensor(scores, dtype=torch.float64)
    better = now > chosen.score
    chosen.score[better], chosen.step[better] = now[better], step
    weights = {name: value.detach() for name, value in heads.state_dict().items()}
    if not chosen.weights:
        chosen.weights = {name: value.clone() for name, value in weights.items()}
    for name, value in weights.items():
        where = better.to(value.device)
        chosen.weights[name][where] = value[where]


def fit(
    stack: Stack,
    *,
    device: torch.device,
    observer: Observer,
    validate: Callable[[], list[float]] | None = None,
) -> list[Fitted]:
    """Train the heads of a stack in place; where the recipes select on validation, they end with their best weights.

    Random choices come from each run's streams: `order` for the examples, `dropout` for the masks.

    Args:
        validate: Each head's main metric on validation; needed when the recipes select the best epoch.

    Returns:
        For each head its updates, tokens and share of the seconds.
    """
    heads, recipe = stack.heads.to(device), stack.recipes[0]
    select = recipe.select == "best"
    orders = {seed: torch.Generator().manual_seed(stream_seed(seed, "order")) for seed in stack.seeds}
    dropouts = heads.dropout.give_streams([stream_seed(seed, "dropout") for seed in stack.seeds], device)
    optimiser = _Optimiser(heads, stack.recipes)
    limits = torch.tensor([recipe.clip or torch.inf for recipe in stack.recipes], device=device)

    count, n = stack.targets.shape
    steps_per_epoch = updates.steps_per_epoch(n, recipe.batch_size)
    tokens_per_epoch = int(stack.tokens.sum())
    total = updates.total_steps(n, recipe)
    fitted = Fitted(0, 0, 0.0)
    chosen = Chosen(torch.full((count,), -torch.inf, dtype=torch.float64), torch.zeros(count, dtype=torch.int64))
    # A job may be retried on another machine; on another kind of device it begins anew.
    if (snapshot := observer.start(total)) is not None and snapshot.arithmetic == device.type:
        chosen = _restore(snapshot, stack, optimiser, dropouts, device)
        fitted = Fitted(snapshot.step, snapshot.tokens, snapshot.seconds)

    clock = time.perf_counter() - fitted.seconds
    for epoch in range(total // steps_per_epoch):
        order = _orders(stack, orders, device)  # drawn for skipped epochs too, so that the streams agree
        for index, examples in enumerate(order.split(recipe.batch_size, dim=1)):
            step = epoch * steps_per_epoch + index
            if step < fitted.steps:
                continue
            heads.train()
            scores = heads(stack.examples.batch(examples), examples.shape[1])
            losses = _losses(scores, stack.targets.gather(1, examples))
            heads.zero_grad(set_to_none=True)
            losses.sum().backward()
            _clip(heads, limits)
            optimiser.step(step, total)

            # Batches of an epoch are about alike in tokens, and epochs are equal.
            fitted.steps, fitted.tokens = step + 1, tokens_per_epoch * (step + 1) // steps_per_epoch
            fitted.seconds = time.perf_counter() - clock
            if select and index == steps_per_epoch - 1:
                assert validate is not None, "recipes that select need validation scores"
                _choose(chosen, validate(), fitted.steps, heads)
            observer.step(
                fitted.steps,
                total,
                losses.detach().mean(),
                fitted.tokens,
                partial(_snapshot, stack, optimiser, dropouts, chosen, fitted, device),
            )
    seconds = (time.perf_counter() - clock) / count
    if select:
        heads.load_state_dict(chosen.weights)
    steps = chosen.step.tolist() if select else [total] * count
    tokens = (stack.tokens * (total // steps_per_epoch)).tolist()
    return [Fitted(total, head, seconds, step) for head, step in zip(tokens, steps, strict=True)]

"""The training loop of fine-tuning. Heads on cached representations train as stacks (`stacked_loop.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import give_stream
from transfer_atlas.settings import Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.training import schedule
from transfer_atlas.training.examples import Examples

EVALUATION_BATCH = 64


@dataclass
class Snapshot:
    """Everything that a later process needs to go on bit by bit: tensors, and where the loop stood."""

    step: int
    tokens: int
    seconds: float
    tensors: dict[str, Tensor]
    best_score: float | None = None
    chosen_step: int = 0
    arithmetic: str = ""


def on_cpu(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors, contiguous, on the CPU and without history."""
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


class Observer(Protocol):
    """Who watches a training: prints progress, keeps checkpoints, stops it in time."""

    def start(self, total_steps: int) -> Snapshot | None:
        """Called once before the first update; a snapshot to go on from, or None."""
        ...

    def step(self, step: int, total: int, loss: Tensor, tokens: int, snapshot: Callable[[], Snapshot]) -> None:
        """Called after each update."""
        ...


@dataclass
class Fitted:
    """What a training cost and, with `select: best`, the weights that it chose (else None: the last ones).

    `chosen_step` is the number of updates behind the chosen weights.
    """

    steps: int
    tokens: int
    seconds: float
    chosen_step: int = 0
    best_weights: dict[str, Tensor] | None = field(default=None, repr=False)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bfloat16 matrix products, float32 weights; or nothing."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) in groups: with and without decay, encoder and head."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        is_head = not name.startswith("encoder.")
        rate = (recipe.head_learning_rate if is_head else None) or recipe.learning_rate
        # Biases, LayerNorm gains and the mix's scalars have fewer than two axes.
        decay = recipe.weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "lr": rate, "weight_decay": decay, "peak": rate} for (rate, decay), p in groups.items()],
        eps=recipe.adam_epsilon,
        fused=True,
    )


def _clip(optimiser: torch.optim.AdamW, parameters: list[nn.Parameter], largest: float) -> None:
    """Scale all gradients to a norm of at most `largest` (Pascanu et al. 2013, section 3.2).

    The fused optimiser divides by the factor as it reads the gradients, which saves a pass over them.
    """
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    optimiser.grad_scale = (norm / largest).clamp_(min=1.0)  # type: ignore[attr-defined]
    optimiser.found_inf = torch.zeros((), device=norm.device)  # type: ignore[attr-defined]


def _loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy for classes, mean squared error for scores."""
    if targets.dtype == torch.int64:
        return nn.functional.cross_entropy(outputs, targets)
    return nn.functional.mse_loss(outputs[:, 0], targets)


def evaluation_rows(examples: Examples) -> tuple[Tensor, ...]:
    """All rows in batches of texts of similar length, which leaves less padding inside attention."""
    return torch.argsort(examples.sizes(), stable=True).split(EVALUATION_BATCH)


def in_order(parts: list[Tensor], batches: tuple[Tensor, ...]) -> Tensor:
    """Results of batches of rows as one tensor in the order of the rows."""
    stacked = torch.cat(parts)
    ordered = torch.empty_like(stacked)
    ordered[torch.cat(batches)] = stacked
    return ordered


@torch.no_grad()
def predict(model: nn.Module, examples: Examples, device: torch.device, precision: str) -> np.ndarray:
    """Scores of all examples, [N, outputs] float32, in their order."""
    model.eval()
    batches = evaluation_rows(examples)
    outputs: list[Tensor] = []
    for rows in batches:
        with autocast(device, precision):
            outputs.append(model(examples.batch(rows, device)).float().cpu())
    return in_order(outputs, batches).numpy()


def _restore(snapshot: Snapshot, model: nn.Module, optimiser: torch.optim.AdamW, dropout: torch.Generator) -> None:
    model.load_state_dict({k[6:]: v for k, v in snapshot.tensors.items() if k.startswith("model.")})
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            # XLNet has a parameter that only its pretraining used; without a gradient it has no moments.
            if f"adam.step.{name}" not in snapshot.tensors:
                continue
            optimiser.state[parameter] = {
                key: snapshot.tensors[f"adam.{key}.{name}"].to(parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
    dropout.set_state(snapshot.tensors["dropout"])


def _snapshot(
    model: nn.Module,
    optimiser: torch.optim.AdamW,
    dropout: torch.Generator,
    fitted: Fitted,
    best_score: float | None,
    arithmetic: str,
) -> Snapshot:
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for parameter, state in optimiser.state.items():
        tensors.update({f"adam.{key}.{names[parameter]}": value for key, value in state.items()})
    tensors["dropout"] = dropout.get_state()
    if fitted.best_weights is not None:
        tensors.update({f"best.{name}": value for name, value in fitted.best_weights.items()})
    return Snapshot(
        fitted.steps, fitted.tokens, fitted.seconds, on_cpu(tensors), best_score, fitted.chosen_step, arithmetic
    )


def fit(
    model: nn.Module,
    examples: Examples,
    recipe: Recipe,
    seed: int,
    *,
    device: torch.device,
    precision: str,
    observer: Observer,
    validate: Callable[[int], float] | None = None,
) -> Fitted:
    """Train `model` in place on `examples`.

    Random choices come from the run's streams: `order` for the examples, `dropout` for the masks.

    Args:
        precision: `bfloat16` or `float32`.
        validate: Main metric on validation after so many updates; needed when the recipe selects the best epoch.

    Returns:
        Updates, tokens and seconds, and the best epoch's weights where the recipe selects on validation.
    """
    model.to(device)
    order = torch.Generator().manual_seed(stream_seed(seed, "order"))
    dropout = torch.Generator(device).manual_seed(stream_seed(seed, "dropout"))
    give_stream(model, dropout)
    optimiser = _optimiser(model, recipe)
    parameters = [p for group in optimiser.param_groups for p in group["params"]]

    n, size = len(examples), recipe.batch_size
    steps_per_epoch = schedule.steps_per_epoch(n, size)
    total = schedule.total_steps(n, recipe)
    targets = examples.targets.to(device)
    sizes = examples.sizes()

    fitted, best_score = Fitted(0, 0, 0.0), None
    # A job may be retried on another machine; another arithmetic begins anew.
    arithmetic = f"{device.type} {precision}"
    if (snapshot := observer.start(total)) is not None and snapshot.arithmetic == arithmetic:
        _restore(snapshot, model, optimiser, dropout)
        fitted = Fitted(snapshot.step, snapshot.tokens, snapshot.seconds, snapshot.chosen_step)
        best_score = snapshot.best_score
        best = {k[5:]: v for k, v in snapshot.tensors.items() if k.startswith("best.")}
        fitted.best_weights = best or None

    clock = time.perf_counter() - fitted.seconds
    for epoch in range(total // steps_per_epoch):
        permutation = torch.randperm(n, generator=order)  # drawn for skipped epochs too, so that the stream agrees
        for index, rows in enumerate(permutation.split(size)):
            step = epoch * steps_per_epoch + index
            if step < fitted.steps:
                continue
            # The order within a batch is free; sorted by length, attention pads less.
            rows = rows[torch.argsort(sizes[rows], stable=True)]
            model.train()
            rate = schedule.factor(step, total, recipe.warmup, recipe.schedule)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * rate
            with autocast(device, precision):
                outputs = model(examples.batch(rows, device))
            loss = _loss(outputs.float(), targets[rows])
            loss.backward()
            if recipe.clip is not None:
                _clip(optimiser, parameters, recipe.clip)
            optimiser.step()
            # At once, so that the next forward pass takes their memory.
            optimiser.zero_grad(set_to_none=True)

            fitted.steps, fitted.tokens = step + 1, fitted.tokens + int(sizes[rows].sum())
            fitted.seconds = time.perf_counter() - clock
            if recipe.select == "best" and index == steps_per_epoch - 1:
                assert validate is not None, "a recipe that selects needs a validation score"
                score = validate(fitted.steps)
                if best_score is None or score > best_score:
                    best_score, fitted.chosen_step = score, fitted.steps
                    fitted.best_weights = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
            observer.step(
                fitted.steps,
                total,
                loss.detach(),
                fitted.tokens,
                partial(_snapshot, model, optimiser, dropout, fitted, best_score, arithmetic),
            )
    fitted.seconds = time.perf_counter() - clock
    if recipe.select == "last":
        fitted.chosen_step = fitted.steps
    return fitted

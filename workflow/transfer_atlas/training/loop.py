"""The training loop of fine-tuning. Heads on cached representations train as stacks (`stacked_loop.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from transfer_atlas import updates
from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.trainable import Trainable
from transfer_atlas.settings import Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.training import schedule
from transfer_atlas.training.examples import Examples
from transfer_atlas.training.optimiser import Unfreezing, clip, new_optimiser, set_rates

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


def evaluation_rows(examples: Examples) -> tuple[Tensor, ...]:
    """All rows in batches of texts of similar length, which leaves less padding inside attention."""
    return torch.argsort(examples.sizes(), stable=True).split(EVALUATION_BATCH)


def in_order(parts: list[Tensor], batches: tuple[Tensor, ...], units: Tensor | None = None) -> Tensor:
    """Results of batches of rows as one tensor in the order of the rows.

    Args:
        units: [N] results of each row; one when left out.
    """
    stacked, rows = torch.cat(parts), torch.cat(batches)
    if units is not None:
        # Each result's place among all results: where its row begins, and its place within the row.
        counts = units[rows]
        before = (torch.cumsum(units, 0) - units)[rows] - (torch.cumsum(counts, 0) - counts)
        rows = torch.repeat_interleave(before, counts) + torch.arange(len(stacked))
    ordered = torch.empty_like(stacked)
    ordered[rows] = stacked
    return ordered


@torch.no_grad()
def predict(model: Trainable, examples: Examples, device: torch.device, precision: str) -> np.ndarray:
    """Predictions for all units of all examples, [n, outputs] float32, in their order."""
    model.eval()
    batches = evaluation_rows(examples)
    predictions: list[Tensor] = []
    for rows in batches:
        batch = examples.batch(rows, device)
        with autocast(device, precision):
            outputs = model(batch).float()
        predictions.append(model.decode(outputs, batch).cpu())
    return in_order(predictions, batches, examples.units(torch.arange(len(examples)))).numpy()


def _restore(snapshot: Snapshot, model: Trainable, optimiser: torch.optim.AdamW, dropout: torch.Generator) -> None:
    model.load_state_dict({k[6:]: v for k, v in snapshot.tensors.items() if k.startswith("model.")})
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            # Without a gradient so far there are no moments: frozen until now, or used by XLNet's pretraining alone.
            if f"adam.step.{name}" not in snapshot.tensors:
                continue
            optimiser.state[parameter] = {
                key: snapshot.tensors[f"adam.{key}.{name}"].to(parameter.device)
                for key in ("step", "exp_avg", "exp_avg_sq")
            }
    dropout.set_state(snapshot.tensors["dropout"])


def _snapshot(
    model: Trainable,
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
    model: Trainable,
    examples: Examples,
    recipe: Recipe,
    seed: int,
    *,
    device: torch.device,
    precision: str,
    observer: Observer,
    validate: Callable[[int], float] | None = None,
    rate_factors: Mapping[int, float] | None = None,
) -> Fitted:
    """Train `model` in place on `examples`.

    Random choices come from the run's streams: `order` for the examples, `dropout` for the masks.

    Args:
        precision: `bfloat16` or `float32`.
        validate: Main metric on validation after so many updates; needed when the recipe selects the best epoch.
        rate_factors: Factors on the learning rates of some layers, by depth.

    Returns:
        Updates, tokens and seconds, and the best epoch's weights where the recipe selects on validation.
    """
    model.to(device)
    order = torch.Generator().manual_seed(stream_seed(seed, "order"))
    dropout = torch.Generator(device).manual_seed(stream_seed(seed, "dropout"))
    give_stream(model, dropout)
    unfreezing = Unfreezing(model, recipe)
    optimiser = new_optimiser(model, recipe, rate_factors)

    n, size = len(examples), recipe.batch_size
    steps_per_epoch = updates.steps_per_epoch(n, size)
    total = updates.total_steps(n, recipe)
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
        unfreezing.begin(epoch)
        for index, rows in enumerate(permutation.split(size)):
            step = epoch * steps_per_epoch + index
            if step < fitted.steps:
                continue
            # The order within a batch is free; sorted by length, attention pads less.
            rows = rows[torch.argsort(sizes[rows], stable=True)]
            model.train()
            set_rates(optimiser, schedule.factor(step, total, recipe.warmup, recipe.schedule))
            batch = examples.batch(rows, device)
            with autocast(device, precision):
                outputs = model(batch)
            loss = model.loss(outputs.float(), examples.targets_of(rows, device), batch)
            loss.backward()
            if recipe.clip is not None:
                clip(optimiser, recipe.clip)
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

"""Fine-tuning of one run: encoder, surgery and head, trained and scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from transfer_atlas.models import surgery
from transfer_atlas.plan import Run
from transfer_atlas.settings import Recipe, Surgery
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device, schedule
from transfer_atlas.training.head_choice import head_for
from transfer_atlas.training.loop import Observer, fit, predict
from transfer_atlas.training.outcome import Trained, cpu_weights, scored, with_cut_words
from transfer_atlas.training.starts import Starts
from transfer_atlas.training.targets import Scaling, Targets, scaled, unscaled


def operate(encoder: nn.Module, entry: Surgery, keep: int | None, generator: torch.Generator) -> None:
    """Apply a surgery in place."""
    if entry.kind == "progressive":
        assert keep is not None, "a progressive surgery needs a depth"
        surgery.progressive(
            encoder, keep, init=entry.init, biases=entry.biases, layer_norm=entry.layer_norm, generator=generator
        )


def finetune(
    starts: Starts,
    *,
    recipe: Recipe,
    entry: Surgery,
    size: int | Literal["all"],
    run: Run,
    start: Path | None,
    keep_weights: bool,
    observer: Observer,
) -> Trained:
    """Fine-tune one run and score it on validation and test.

    Args:
        entry: The surgery; its depth is in `run`.
        start: A finished intermediate run's weights to start from, or None for the pretrained ones.
        keep_weights: Whether the result carries the trained weights.
    """
    data = starts.data
    where = device.choose_device()
    precision = device.resolve_precision(recipe.precision, where)
    chosen = nested_subset(len(data.splits["train"]), size, run.seed)
    begun = starts.begin(start, chosen, recipe, where, precision)
    scaling = Scaling.of(begun.train.targets.values)
    init = torch.Generator().manual_seed(stream_seed(run.seed, "init"))
    # The head is drawn first, so that it is the same whatever the surgery and its depth.
    train = data.splits["train"]
    head = head_for(recipe, data.task, data.names, data.layout, train, 1, starts.hidden_size, init)
    operate(begun.encoder, entry, run.depth, init)
    model = begun.network(head).to(where)
    layers = model.layers

    def decay(steps: int) -> float:
        """What weight decay has left of the embedding rows that were not trained."""
        return 1.0 if recipe.frozen_layers is not None else schedule.unused_decay(recipe, steps, len(chosen), layers)

    def evaluate(split: str, steps: int) -> np.ndarray:
        """Predictions after `steps` updates."""
        with begun.evaluating(split, decay(steps)) as examples:
            predictions = unscaled(predict(model, examples, where, precision), scaling)
            return with_cut_words(predictions, examples.targets.labelled, data.splits[split])

    def validate(steps: int) -> float:
        outputs = evaluate("validation", steps)
        return scored(data.task, data.names, data.splits["validation"], outputs).scores[data.task.main_metric]

    fitted = fit(
        model,
        replace(
            begun.train, targets=Targets(scaled(begun.train.targets.values, scaling), begun.train.targets.labelled)
        ),
        recipe,
        run.seed,
        device=where,
        precision=precision,
        observer=observer,
        validate=validate if recipe.select == "best" else None,
    )
    if fitted.best_weights is not None:
        model.load_state_dict(fitted.best_weights)
    splits = {
        split: scored(data.task, data.names, data.splits[split], evaluate(split, fitted.chosen_step))
        for split in ("validation", "test")
    }
    kept = None
    if keep_weights:
        with begun.whole(decay(fitted.chosen_step)):
            kept = cpu_weights(model)
    truncated = data.units["train"].truncated
    return Trained(fitted, len(chosen), truncated, splits, where, precision, kept, data.left_out)

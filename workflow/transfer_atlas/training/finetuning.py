"""Fine-tuning of one run: encoder, surgery and head, trained and scored."""

from __future__ import annotations

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
from transfer_atlas.training.fit_and_score import fit_and_score
from transfer_atlas.training.head_choice import head_for
from transfer_atlas.training.loop import Observer, predict
from transfer_atlas.training.outcome import Trained, cpu_weights
from transfer_atlas.training.starts import Starts


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
    init = torch.Generator().manual_seed(stream_seed(run.seed, "init"))
    # The head is drawn first, so that it is the same whatever the surgery and its depth.
    head = head_for(recipe, data, 1, starts.hidden_size, init)
    operate(begun.encoder, entry, run.depth, init)
    model = begun.network(head).to(where)
    layers = model.layers

    def decay(steps: int) -> float:
        """What weight decay has left of the embedding rows that were not trained."""
        return 1.0 if recipe.frozen_layers is not None else schedule.unused_decay(recipe, steps, len(chosen), layers)

    def predictions(split: str, steps: int) -> np.ndarray:
        with begun.evaluating(split, decay(steps)) as examples:
            return predict(model, examples, where, precision)

    fitted, splits = fit_and_score(
        model,
        begun.train,
        data,
        predictions,
        recipe,
        run.seed,
        device=where,
        precision=precision,
        observer=observer,
    )
    kept = None
    if keep_weights:
        with begun.whole(decay(fitted.chosen_step)):
            kept = cpu_weights(model)
    truncated = {split: units.truncated for split, units in data.units.items()}
    return Trained(fitted, len(chosen), truncated, splits, where, precision, kept, data.left_out)

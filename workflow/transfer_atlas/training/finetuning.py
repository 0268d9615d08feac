"""Fine-tuning of one run: encoder, surgery and head, trained and scored."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from transfer_atlas.models.surgery.operation import operate
from transfer_atlas.settings import Recipe, Surgery
from transfer_atlas.streams import stream_seed
from transfer_atlas.surgeries import Operation
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device, schedule
from transfer_atlas.training.fit_and_score import fit_and_score
from transfer_atlas.training.head_choice import head_for
from transfer_atlas.training.kept_head import load_head, scaling_tensors
from transfer_atlas.training.loop import Observer, predict
from transfer_atlas.training.outcome import Trained, cpu_weights
from transfer_atlas.training.starts import Starts
from transfer_atlas.training.targets import Scaling
from transfer_atlas.updates import with_more_updates


def finetune(
    starts: Starts,
    *,
    recipe: Recipe,
    surgery: Surgery,
    operation: Operation,
    size: int | Literal["all"],
    seed: int,
    start: Path | None,
    keep_head: bool = False,
    more_updates: int = 0,
    keep_weights: bool,
    observer: Observer,
) -> Trained:
    """Fine-tune one run and score it on validation and test.

    Args:
        operation: What is done to which layers before training, in the way of `surgery`.
        size: Train examples. With 0 the intermediate run's model is scored as it is.
        start: A finished intermediate run's weights to start from, or None for the pretrained ones.
        keep_head: Whether to start with the intermediate run's head, too.
        more_updates: Beyond those of the recipe.
        keep_weights: Whether the result carries the trained weights.
    """
    data = starts.data
    where = device.choose_device()
    precision = device.resolve_precision(recipe.precision, where)
    chosen = nested_subset(len(data.splits["train"]), size, seed)
    if size == 0:
        # Nothing is trained, so nothing is frozen.
        recipe = recipe.model_copy(update={"frozen_layers": None})
    else:
        recipe = with_more_updates(recipe, len(chosen), more_updates)
    begun = starts.begin(start, chosen, recipe, where, precision)
    init = torch.Generator().manual_seed(stream_seed(seed, "init"))
    head = head_for(recipe, data, 1, starts.hidden_size, init, begun.pooler)
    scaling = None if size == 0 else Scaling.of(begun.train.targets.values)
    if keep_head:
        assert start is not None, "the pretrained encoder has no head"
        scaling = load_head(head, start)
    operate(begun.encoder, operation, surgery, seed)
    model = begun.network(head).to(where)
    layers = model.layers

    def decay(steps: int) -> float:
        """What weight decay has left of the embedding rows that were not trained."""
        untouched = recipe.frozen_layers is not None or size == 0
        return 1.0 if untouched else schedule.unused_decay(recipe, steps, len(chosen), layers)

    def predictions(split: str, steps: int) -> np.ndarray:
        with begun.evaluating(split, decay(steps)) as examples:
            return predict(model, examples, where, precision)

    fitted, splits = fit_and_score(
        model,
        begun.train,
        data,
        predictions,
        recipe,
        seed,
        device=where,
        precision=precision,
        observer=observer,
        scaling=scaling,
        rate_factors=dict.fromkeys(operation.redrawn, surgery.rate_factor),
    )
    kept = None
    if keep_weights:
        with begun.whole(decay(fitted.chosen_step)):
            kept = cpu_weights(model) | scaling_tensors(scaling)
    truncated = {split: units.truncated for split, units in data.units.items()}
    return Trained(fitted, len(chosen), truncated, splits, where, precision, kept, data.left_out)

"""Feature extraction: heads trained on stored representations of a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from transfer_atlas.models.heads import LinearHead, ScalarMixMLP
from transfer_atlas.plan import Run
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device
from transfer_atlas.training.feature_examples import FeatureExamples
from transfer_atlas.training.loop import Observer, fit, predict
from transfer_atlas.training.metrics import scores
from transfer_atlas.training.outcome import Scored, Trained
from transfer_atlas.training.targets import Scaling, outputs_of, scaled, unscaled


@dataclass(frozen=True)
class FeatureData:
    """A task with its representations: for each split the examples, [N, layers + 1, H] states and [N] token counts."""

    task: Task
    classes: int
    splits: dict[str, Examples]
    states: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    truncated: int


def _features(data: FeatureData, split: str, rows: np.ndarray, layer: int | None) -> FeatureExamples:
    """The rows' states of one layer, [N, H], or of all layers (None)."""
    states = data.states[split][rows] if layer is None else data.states[split][rows, layer]
    labels = data.splits[split].labels[rows]
    return FeatureExamples(
        torch.from_numpy(np.ascontiguousarray(states, dtype=np.float32)),
        torch.from_numpy(labels.astype(np.int64 if labels.dtype.kind == "i" else np.float32)),
        torch.from_numpy(data.lengths[split][rows].astype(np.int64)),
    )


def train_head(
    data: FeatureData, *, recipe: Recipe, size: int | Literal["all"], run: Run, observer: Observer
) -> Trained:
    """Train one head and score it on validation and test."""
    where = device.choose_device()
    # A head is too small for the bfloat16 of `auto` to pay.
    precision = "float32" if recipe.precision == "auto" else device.resolve_precision(recipe.precision, where)
    layers, hidden_size = data.states["train"].shape[1] - 1, data.states["train"].shape[2]
    layer = None if recipe.head == "scalar_mix_mlp" else layers if recipe.layer == "last" else int(recipe.layer)
    train = _features(data, "train", nested_subset(len(data.splits["train"]), size, run.seed), layer)
    scaling = Scaling.of(train.targets)

    init = torch.Generator().manual_seed(stream_seed(run.seed, "init"))
    outputs = outputs_of(data.task.type, data.classes)
    head: nn.Module
    if layer is None:
        head = ScalarMixMLP(hidden_size, layers, recipe.hidden, outputs, recipe.head_dropout, init)
    else:
        head = LinearHead(hidden_size, outputs, recipe.head_dropout, init)
    head.to(where)

    def evaluate(split: str) -> np.ndarray:
        examples = _features(data, split, np.arange(len(data.splits[split])), layer)
        return unscaled(predict(head, examples, where, precision), scaling)

    def validate(steps: int) -> float:
        return scores(data.task.type, evaluate("validation"), data.splits["validation"].labels)[data.task.main_metric]

    fitted = fit(
        head,
        replace(train, targets=scaled(train.targets, scaling)),
        recipe,
        run.seed,
        device=where,
        precision=precision,
        observer=observer,
        validate=validate if recipe.select == "best" else None,
    )
    if fitted.best_weights is not None:
        head.load_state_dict(fitted.best_weights)
    splits = {
        split: Scored(data.splits[split].ids, evaluate(split), data.splits[split].labels)
        for split in ("validation", "test")
    }
    return Trained(fitted, len(train), data.truncated, splits, where, precision)

"""A training whose predictions for validation and test are scored: what fine-tuning and heads on stored units share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

import numpy as np
import torch

from transfer_atlas.layout import Layout
from transfer_atlas.models.trainable import Trainable
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.examples import Examples as LoopExamples
from transfer_atlas.training.loop import Fitted, Observer, fit
from transfer_atlas.training.outcome import Scored, scored, with_cut_words
from transfer_atlas.training.targets import Scaling, Targets, scaled, unscaled


class Targeted(Protocol):
    """What has targets."""

    @property
    def targets(self) -> Targets:
        """Of the examples, or in labelling of their words."""
        ...


class TrainingExamples(LoopExamples, Targeted, Protocol):
    """What is trained on."""

    def with_targets(self, targets: Targets) -> Self:
        """The same examples with other targets."""
        ...


class TaskSplits(Protocol):
    """A task: its splits as they were prepared, and as a model or head reads them."""

    @property
    def task(self) -> Task:
        """Its settings."""
        ...

    @property
    def names(self) -> Sequence[str] | None:
        """Of the classes, in order; None for regression."""
        ...

    @property
    def layout(self) -> Layout:
        """What a head reads of it."""
        ...

    @property
    def splits(self) -> Mapping[str, Examples]:
        """The prepared examples."""
        ...

    @property
    def units(self) -> Mapping[str, Targeted]:
        """The same as they are read, in the same order."""
        ...


def fit_and_score(
    model: Trainable,
    train: TrainingExamples,
    data: TaskSplits,
    predictions: Callable[[str, int], np.ndarray],
    recipe: Recipe,
    seed: int,
    *,
    device: torch.device,
    precision: str,
    observer: Observer,
    scaling: Scaling | None,
    rate_factors: Mapping[int, float] | None = None,
) -> tuple[Fitted, dict[str, Scored]]:
    """Train `model` in place, leave it with the weights that the recipe selects, and score these.

    Without training examples it is scored as it is.

    Args:
        predictions: What the model predicts now, after so many updates, for the units of a split.
        scaling: The scale on which scores of regression are learnt; None for classes.
        rate_factors: Factors on the learning rates of some layers, by depth.
    """
    targets = Targets(scaled(train.targets.values, scaling), train.targets.labelled)

    def evaluate(split: str, steps: int) -> Scored:
        of_units = unscaled(predictions(split, steps), scaling)
        outputs = with_cut_words(of_units, data.units[split].targets.labelled, data.splits[split])
        return scored(data.task, data.names, data.splits[split], outputs)

    def validate(steps: int) -> float:
        return evaluate("validation", steps).scores[data.task.main_metric]

    if not train.targets.values.numel():
        return Fitted(0, 0, 0.0), {split: evaluate(split, 0) for split in ("validation", "test")}
    fitted = fit(
        model,
        train.with_targets(targets),
        recipe,
        seed,
        device=device,
        precision=precision,
        observer=observer,
        validate=validate if recipe.select == "best" else None,
        rate_factors=rate_factors,
    )
    if fitted.best_weights is not None:
        model.load_state_dict(fitted.best_weights)
    return fitted, {split: evaluate(split, fitted.chosen_step) for split in ("validation", "test")}

"""Fine-tuning of one run: encoder, surgery and head, trained and scored."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from transfer_atlas.models import surgery, vocabulary
from transfer_atlas.models.classifier import Classifier
from transfer_atlas.models.dropout import replace_dropout
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.heads import LinearHead
from transfer_atlas.plan import Run
from transfer_atlas.settings import Recipe, Surgery, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.overlap import forbidden_keys, rows_without
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device, schedule
from transfer_atlas.training.loop import Observer, fit, predict
from transfer_atlas.training.metrics import scores
from transfer_atlas.training.outcome import Scored, Trained, cpu_weights
from transfer_atlas.training.targets import Scaling, outputs_of, scaled, unscaled
from transfer_atlas.training.token_examples import TokenisedExamples, tokenise

_ENCODER = "encoder."


@dataclass(frozen=True)
class TaskData:
    """A task as fine-tuning needs it, read and tokenised once for all runs of a cell."""

    task: Task
    classes: int
    splits: dict[str, Examples]
    tokenised: dict[str, TokenisedExamples]
    left_out: int

    @staticmethod
    def of(
        task: Task, classes: int, splits: dict[str, Examples], pretrained: Pretrained, left_out: int = 0
    ) -> TaskData:
        """Tokenise all splits, and say how long the texts are."""
        tokenised = {}
        for split, examples in splits.items():
            tokenised[split] = tokenise(
                pretrained.tokenizer,
                examples.texts,
                examples.pairs,
                examples.labels,
                task.max_length,
                pretrained.position_offset,
            )
            print(
                f"{split}: {len(examples)} texts, {tokenised[split].lengths.float().mean():.1f} tokens on average, "
                f"{tokenised[split].truncated} truncated at {task.max_length}",
                flush=True,
            )
        return TaskData(task, classes, splits, tokenised, left_out)


def leave_out(train: Examples, *evaluation: Examples) -> tuple[Examples, int]:
    """Training rows of an intermediate task that hold no text of the target's evaluation splits, and how many did."""
    return rows_without(train, forbidden_keys(*evaluation))


def operate(encoder: nn.Module, entry: Surgery, keep: int | None, generator: torch.Generator) -> None:
    """Apply a surgery in place."""
    if entry.kind == "progressive":
        assert keep is not None, "a progressive surgery needs a depth"
        surgery.progressive(
            encoder, keep, init=entry.init, biases=entry.biases, layer_norm=entry.layer_norm, generator=generator
        )


def load_encoder_weights(encoder: nn.Module, weights: Path) -> None:
    """Load the encoder's part of a finished run's weights, in place."""
    tensors = load_file(weights)
    encoder.load_state_dict({k.removeprefix(_ENCODER): v for k, v in tensors.items() if k.startswith(_ENCODER)})


def finetune(
    pretrained: Pretrained,
    data: TaskData,
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
    where = device.choose_device()
    precision = device.resolve_precision(recipe.precision, where)
    train = data.tokenised["train"].take(nested_subset(len(data.splits["train"]), size, run.seed))
    scaling = Scaling.of(train.targets)

    encoder = copy.deepcopy(pretrained.encoder)
    if start is not None:
        load_encoder_weights(encoder, start)
    init = torch.Generator().manual_seed(stream_seed(run.seed, "init"))
    # The head is drawn first, so that it is the same whatever the surgery and its depth.
    head = LinearHead(pretrained.hidden_size, outputs_of(data.task.type, data.classes), recipe.head_dropout, init)
    operate(encoder, entry, run.depth, init)
    if recipe.dropout is not None:
        replace_dropout(encoder, recipe.dropout)
    full = vocabulary.compact(encoder, train.vocabulary())
    model = Classifier(encoder, head, recipe.pooling).to(where)
    total = schedule.total_steps(len(train), recipe)

    def evaluate(split: str, steps: int) -> np.ndarray:
        """Predictions after `steps` updates, with the whole vocabulary back in place."""
        with vocabulary.restored(encoder, full, schedule.unused_decay(recipe, steps, total)):
            return unscaled(predict(model, data.tokenised[split], where, precision), scaling)

    def validate(steps: int) -> float:
        outputs = evaluate("validation", steps)
        return scores(data.task.type, outputs, data.splits["validation"].labels)[data.task.main_metric]

    fitted = fit(
        model,
        replace(train.with_ids(full.lookup()), targets=scaled(train.targets, scaling)),
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
        split: Scored(data.splits[split].ids, evaluate(split, fitted.chosen_step), data.splits[split].labels)
        for split in ("validation", "test")
    }
    kept = None
    if keep_weights:
        with vocabulary.restored(encoder, full, schedule.unused_decay(recipe, fitted.chosen_step, total)):
            kept = cpu_weights(model)
    return Trained(fitted, len(train), data.tokenised["train"].truncated, splits, where, precision, kept, data.left_out)

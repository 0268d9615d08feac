"""What training one run gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transfer_atlas.models.sequences import rows_of_parts
from transfer_atlas.settings import Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training import metrics
from transfer_atlas.training.labelling_scores import CUT, span_scores, word_scores
from transfer_atlas.training.loop import Fitted, on_cpu


@dataclass(frozen=True)
class Scored:
    """Predictions of one evaluation split, and all metrics of its task.

    ids, [n, outputs] scores and [n] labels of texts or, in labelling, of words: there the output is the class.
    """

    ids: list[str]
    outputs: np.ndarray
    labels: np.ndarray
    scores: dict[str, float]


def scored(task: Task, names: Sequence[str] | None, examples: Examples, outputs: np.ndarray) -> Scored:
    """Score the predictions for a split.

    Args:
        names: Of the classes, in order; None for regression.
        outputs: [N, outputs] of each text, or [W, 1] class of each word: NaN, which is always wrong, for none.
    """
    if task.type != "token_labelling":
        return Scored(examples.ids, outputs, examples.labels, metrics.scores(task.type, outputs, examples.labels))
    assert names is not None and examples.words is not None
    chosen = np.nan_to_num(outputs[:, 0], nan=CUT).astype(np.int64)
    found = word_scores(chosen, examples.labels)
    if task.tags != "words":
        found |= span_scores(chosen, examples.labels, examples.offsets, names)
    ids = [
        f"{id_}.{k}" for id_, words in zip(examples.ids, examples.words, strict=True) for k in range(1, len(words) + 1)
    ]
    return Scored(ids, outputs, examples.labels, {metric: found[metric] for metric in task.metrics})


@dataclass(frozen=True)
class Trained:
    """What training one run gave."""

    fitted: Fitted
    n_train: int
    truncated: Mapping[str, int]
    """Texts or sentences of each whole split that were longer than the limit."""
    splits: dict[str, Scored]
    device: torch.device
    precision: str
    weights: dict[str, Tensor] | None = None
    left_out: int = 0
    """Training rows that were removed because they hold a text of another task's evaluation splits."""


def cpu_weights(model: nn.Module) -> dict[str, Tensor]:
    """The model's state as contiguous tensors on the CPU."""
    return on_cpu(model.state_dict())


def with_cut_words(predictions: np.ndarray, kept: Tensor | None, examples: Examples) -> np.ndarray:
    """Predictions of labelled words, [w, 1], with one for each word that was cut off, [W, 1].

    Args:
        kept: [N] words of each sentence that were not; None where no words are labelled: nothing is added then.
    """
    if kept is None:
        return predictions
    whole = np.full((len(examples.labels), predictions.shape[1]), CUT, dtype=predictions.dtype)
    whole[rows_of_parts(torch.from_numpy(examples.offsets[:-1]), kept).numpy()] = predictions
    return whole

"""Metrics of labelled words: each word by itself, or the spans that the labels mark.

Spans are read from tags by the rules of conlleval and counted by nervaluate; one is right where type and borders are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from transfer_atlas.settings import SPAN_METRICS
from transfer_atlas.tasks.tags import spans_of
from transfer_atlas.training.metrics import macro_f1

CUT = -1
"""The prediction for a word that was cut off because its sentence is too long: always wrong, and part of no span."""
OUTSIDE = "O"


def word_scores(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and macro F1 of words: [W] classes predicted (or CUT) and right."""
    return {"accuracy": float((predictions == labels).mean()), "macro_f1": macro_f1(predictions, labels)}


def span_scores(
    predictions: np.ndarray, labels: np.ndarray, offsets: np.ndarray, tags: Sequence[str]
) -> dict[str, float]:
    """F1, precision and recall of spans; 0 where there is nothing to divide by.

    Args:
        predictions, labels: [W] tags of all words.
        offsets: [N + 1] where each sentence begins.
        tags: Names of the tags.
    """
    # Loaded by the tasks that need it alone.
    from nervaluate import Evaluator

    true, predicted = (_spans(values, offsets, tags) for values in (labels, predictions))
    types = sorted({tag.partition("-")[2] for tag in tags} - {""})
    found = Evaluator(true, predicted, tags=types, loader="dict").evaluate()["overall"]["strict"]
    return dict(zip(SPAN_METRICS, (float(found.f1), float(found.precision), float(found.recall)), strict=True))


def _spans(values: np.ndarray, offsets: np.ndarray, tags: Sequence[str]) -> list[list[dict[str, str | int]]]:
    """The spans of each sentence; nervaluate's ends are included."""
    names = [OUTSIDE if value == CUT else tags[value] for value in values.tolist()]
    places = offsets.tolist()
    return [
        [{"label": kind, "start": start, "end": end - 1} for kind, start, end in spans_of(names[begin:stop])]
        for begin, stop in pairwise(places)
    ]

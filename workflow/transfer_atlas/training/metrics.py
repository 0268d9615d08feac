"""Metrics of predictions against labels.

Written out, and compared with scikit-learn and SciPy in the tests: importing those takes each training process a second
or two, and their checks of arguments take longer than training a head.
"""

from __future__ import annotations

import numpy as np

from transfer_atlas.settings import METRICS_BY_TYPE


def score(metric: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    """One metric.

    Args:
        predictions: [N, classes] scores, or [N, 1] for regression.
        labels: [N] class indices or scores.

    Returns:
        Its value. Constant predictions, and those of a training that diverged, have no correlation: Pearson, Spearman
        and Matthews are then 0.
    """
    if metric in METRICS_BY_TYPE["pair_regression"]:
        predicted = predictions[:, 0].astype(np.float64)
        if not np.isfinite(predicted).all() or np.ptp(predicted) == 0 or np.ptp(labels) == 0:
            return 0.0
        return _pearson(predicted, labels) if metric == "pearson" else _pearson(_ranks(predicted), _ranks(labels))
    chosen = predictions.argmax(axis=1)
    if metric == "accuracy":
        return float((chosen == labels).mean())
    return macro_f1(chosen, labels) if metric == "macro_f1" else _matthews(chosen, labels)


def scores(task_type: str, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All metrics of a task type, by name (`score`)."""
    return {metric: score(metric, predictions, labels) for metric in METRICS_BY_TYPE[task_type]}


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r of two series that are not constant."""
    first, second = first - first.mean(), second - second.mean()
    return float(np.clip(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)), -1.0, 1.0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _counts(chosen: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How often each class was chosen rightly, was chosen, and was right."""
    classes = int(max(chosen.max(), labels.max())) + 1
    hits, predicted, true = (
        np.bincount(values, minlength=classes).astype(np.float64)
        for values in (chosen[chosen == labels], chosen[chosen >= 0], labels)
    )
    return hits, predicted, true


def macro_f1(chosen: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes that occur, chosen or right, of the harmonic mean of precision and recall.

    Where nothing was chosen (-1) the right class is missed.
    """
    hits, predicted, true = _counts(chosen, labels)
    occurs = predicted + true > 0
    return float((2 * hits[occurs] / (predicted + true)[occurs]).mean())


def _matthews(chosen: np.ndarray, labels: np.ndarray) -> float:
    """Matthews' correlation for any number of classes (Gorodkin 2004); 0 where one class alone is chosen or right."""
    hits, predicted, true = _counts(chosen, labels)
    n = len(labels)
    spread = (n**2 - predicted @ predicted) * (n**2 - true @ true)
    return float((hits.sum() * n - predicted @ true) / np.sqrt(spread)) if spread > 0 else 0.0

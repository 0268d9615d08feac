"""Metrics of predictions against labels."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn import metrics

from transfer_atlas.settings import METRICS_BY_TYPE


def scores(task_type: str, predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """All metrics of a task type.

    Args:
        predictions: [N, classes] scores, or [N, 1] for regression.
        labels: [N] class indices or scores.

    Returns:
        Metric name to value. Constant predictions, and those of a training that diverged, have no correlation:
        Pearson, Spearman and Matthews are then 0.
    """
    if task_type == "pair_regression":
        predicted = predictions[:, 0]
        constant = not np.isfinite(predicted).all() or bool(np.ptp(predicted) == 0 or np.ptp(labels) == 0)
        values = {
            "pearson": 0.0 if constant else float(stats.pearsonr(predicted, labels).statistic),
            "spearman": 0.0 if constant else float(stats.spearmanr(predicted, labels).statistic),
        }
    else:
        chosen = predictions.argmax(axis=1)
        values = {
            "accuracy": float(metrics.accuracy_score(labels, chosen)),
            "macro_f1": float(metrics.f1_score(labels, chosen, average="macro", zero_division=0)),
            "matthews": float(metrics.matthews_corrcoef(labels, chosen)),
        }
    assert list(values) == METRICS_BY_TYPE[task_type]
    return values

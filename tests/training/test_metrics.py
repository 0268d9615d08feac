from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from transfer_atlas.training.metrics import score, scores

RANDOM = np.random.default_rng(0)
CLASSES = "sequence_classification"
REGRESSION = "pair_regression"


@pytest.mark.parametrize("kind", [CLASSES, "pair_classification"])
@pytest.mark.parametrize("classes", [2, 4])
def test_classification_metrics_are_those_of_sklearn(kind: str, classes: int) -> None:
    predictions, labels = RANDOM.normal(size=(50, classes)).astype(np.float32), RANDOM.integers(0, classes, 50)
    chosen = predictions.argmax(1)
    assert scores(kind, predictions, labels) == pytest.approx(
        {
            "accuracy": np.mean(chosen == labels),
            "macro_f1": metrics.f1_score(labels, chosen, average="macro"),
            "matthews": metrics.matthews_corrcoef(labels, chosen),
        }
    )


def test_regression_metrics_are_those_of_scipy() -> None:
    labels = RANDOM.uniform(0, 5, 50)
    predictions = (labels + RANDOM.normal(size=50)).astype(np.float32)[:, None]
    found = scores(REGRESSION, predictions, labels)
    assert found["pearson"] == pytest.approx(stats.pearsonr(predictions[:, 0], labels).statistic, abs=1e-12)
    assert found["spearman"] == pytest.approx(stats.spearmanr(predictions[:, 0], labels).statistic, abs=1e-12)


@pytest.mark.parametrize("constant", ["predictions", "labels", "both"])
def test_correlations_of_constants_are_zero(constant: str) -> None:
    varied = np.arange(10, dtype=np.float32)
    predictions = np.full(10, 2.5, dtype=np.float32) if constant != "labels" else varied
    labels = np.full(10, 3.0) if constant != "predictions" else varied.astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scores(REGRESSION, predictions[:, None], labels) == {"pearson": 0.0, "spearman": 0.0}


def test_one_row_has_no_correlation() -> None:
    assert scores(REGRESSION, np.ones((1, 1), np.float32), np.array([2.0])) == {"pearson": 0.0, "spearman": 0.0}


def test_one_predicted_class_has_no_matthews_correlation() -> None:
    predictions = np.tile(np.array([1.0, 0.0], dtype=np.float32), (6, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores(CLASSES, predictions, np.array([0, 0, 0, 1, 1, 1]))
    assert found == {"accuracy": 0.5, "macro_f1": pytest.approx(1 / 3), "matthews": 0.0}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_of_a_diverged_training_have_no_correlation(value: float) -> None:
    predictions = np.arange(10, dtype=np.float32)[:, None]
    predictions[3] = value
    assert scores(REGRESSION, predictions, np.arange(10.0)) == {"pearson": 0.0, "spearman": 0.0}


def test_tied_scores_share_their_ranks() -> None:
    labels = RANDOM.integers(0, 4, 60).astype(np.float64)
    predictions = (labels + RANDOM.integers(0, 3, 60)).astype(np.float32)[:, None]
    assert score("spearman", predictions, labels) == pytest.approx(
        stats.spearmanr(predictions[:, 0], labels).statistic, abs=1e-12
    )


@pytest.mark.parametrize("metric", ["macro_f1", "matthews"])
@pytest.mark.parametrize("absent", ["chosen", "right", "both"])
def test_classes_that_never_occur(metric: str, absent: str) -> None:
    """Four classes, of which one is never chosen, never right, or neither."""
    labels, chosen = RANDOM.integers(0, 4, 80), RANDOM.integers(0, 4, 80)
    labels[(labels == 2) & (absent != "chosen")] = 3
    chosen[(chosen == 2) & (absent != "right")] = 1
    expected = {"macro_f1": metrics.f1_score(labels, chosen, average="macro")}
    expected["matthews"] = metrics.matthews_corrcoef(labels, chosen)
    assert score(metric, np.eye(4)[chosen], labels) == pytest.approx(expected[metric], abs=1e-12)


@pytest.mark.parametrize("kind", [CLASSES, REGRESSION])
def test_perfect_predictions(kind: str) -> None:
    labels = np.array([0, 1, 1, 2, 0]) if kind == CLASSES else np.array([0.5, 3.0, 1.0, 4.0])
    predictions = np.eye(3)[labels.astype(int)] if kind == CLASSES else labels[:, None].astype(np.float32)
    assert list(scores(kind, predictions, labels).values()) == pytest.approx([1.0] * (3 if kind == CLASSES else 2))

"""Linear probes: how well a linear model reads the labels from the states of one layer.

Logistic regression for classes, ridge regression for scores (Peters et al. 2019, section 5), on standardised
dimensions. The strength of the L2 penalty is the one with the best score on a held-out fifth of the train examples,
the strongest of equal ones; the model is then fitted on all of them. With one fixed strength a layer's score would
depend on how its states are scaled and on how many examples there are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from transfer_atlas.settings import METRICS_BY_TYPE, SPAN_METRICS
from transfer_atlas.training.metrics import score

# Penalty of the squared weights by example, strongest first: each fit starts from the one before.
PENALTIES = (1.0, 1.0e-1, 1.0e-2, 1.0e-3, 1.0e-4)
# Every so many-th train example is held out to choose the penalty.
HOLD_OUT = 5
# An update that changes no score at three decimals is not worth its time.
TOLERANCE = 1.0e-3
ITERATIONS = 500

Predictor = Callable[[np.ndarray], np.ndarray]


def probe(
    train_states: np.ndarray,
    train_labels: np.ndarray,
    test_states: np.ndarray,
    test_labels: np.ndarray,
    task_type: str,
    metric: str,
) -> float:
    """Score in `metric` on the test states of a linear model fitted to the train states.

    Args:
        train_states: [N, H].
        train_labels: [N] class indices; scores for pair_regression.
        test_states: [M, H].
        test_labels: [M].

    Raises:
        ValueError: for a metric that the task type lacks or that scores spans, and for fewer than 2 train examples.
    """
    if metric not in METRICS_BY_TYPE[task_type] or metric in SPAN_METRICS:
        raise ValueError(f"a linear probe of {task_type} has no {metric}")
    if len(train_labels) < 2:
        raise ValueError(f"a linear probe needs at least 2 train examples, not {len(train_labels)}")
    fit = _ridge if task_type == "pair_regression" else _logistic
    held_out = np.arange(len(train_labels)) % HOLD_OUT == HOLD_OUT - 1
    if not held_out.any():
        held_out[-1] = True
    scores = [
        score(metric, predict(train_states[held_out]), train_labels[held_out])
        for predict in fit(train_states[~held_out], train_labels[~held_out], PENALTIES)
    ]
    best = int(np.argmax(scores))
    # The path up to the best penalty: the last fit starts where the others end, as it did when it was chosen.
    predict = fit(train_states, train_labels, PENALTIES[: best + 1])[-1]
    return score(metric, predict(test_states), test_labels)


def _standardiser(states: np.ndarray) -> Predictor:
    """A map to the dimensions' means 0 and deviations 1 over `states`; constant dimensions become 0."""
    mean, deviation = states.mean(axis=0, dtype=np.float64), states.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-9 * np.abs(mean), deviation, np.inf)
    return lambda others: (others - mean) / scale


def _logistic(states: np.ndarray, labels: np.ndarray, penalties: tuple[float, ...]) -> list[Predictor]:
    """Multinomial logistic regressions by penalty; each gives scores [N, classes], also for classes it never saw."""
    classes = np.unique(labels)
    if len(classes) == 1:
        return [lambda others: _one_hot(np.full(len(others), classes[0]), int(classes[0]) + 1)] * len(penalties)
    standardise = _standardiser(states)
    inputs = standardise(states)
    model = LogisticRegression(solver="lbfgs", tol=TOLERANCE, max_iter=ITERATIONS, warm_start=True)
    found: list[Predictor] = []
    for penalty in penalties:
        model.set_params(C=1.0 / (penalty * len(labels)))
        with warnings.catch_warnings():
            # Weak penalties on separable states have their optimum far away; what is found by then is scored as it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(inputs, labels)
        found.append(_classifier(standardise, classes, model.coef_.copy(), model.intercept_.copy()))
    return found


def _classifier(standardise: Predictor, classes: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> Predictor:
    def predict(states: np.ndarray) -> np.ndarray:
        margins = standardise(states) @ weights.T + biases
        chosen = (margins[:, 0] > 0).astype(np.int64) if len(biases) == 1 else margins.argmax(axis=1)
        return _one_hot(classes[chosen], int(classes[-1]) + 1)

    return predict


def _one_hot(chosen: np.ndarray, n_classes: int) -> np.ndarray:
    """Scores [N, classes] that choose the classes `chosen` [N]."""
    hot: np.ndarray = np.eye(n_classes)[chosen]
    return hot


def _ridge(states: np.ndarray, labels: np.ndarray, penalties: tuple[float, ...]) -> list[Predictor]:
    """Ridge regressions by penalty, all from one eigendecomposition; each gives [N, 1]."""
    standardise = _standardiser(states)
    inputs, mean = standardise(states), float(labels.mean())
    values, vectors = np.linalg.eigh(inputs.T @ inputs / len(labels))
    towards = vectors.T @ (inputs.T @ (labels - mean) / len(labels))
    return [_regressor(standardise, vectors @ (towards / (values + penalty)), mean) for penalty in penalties]


def _regressor(standardise: Predictor, weights: np.ndarray, mean: float) -> Predictor:
    return lambda states: (standardise(states) @ weights + mean)[:, None]

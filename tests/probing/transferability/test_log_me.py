"""LogME against the evidence as the paper writes it, maximised by a general optimiser."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from transfer_atlas.probing.transferability.log_me import log_me


def evidence(alpha: float, beta: float, states: np.ndarray, y: np.ndarray) -> float:
    """Equation 2 of the paper, with A, its determinant and m written out."""
    n, h = states.shape
    a = alpha * np.eye(h) + beta * states.T @ states
    m = beta * np.linalg.solve(a, states.T @ y)
    _, log_determinant = np.linalg.slogdet(a)
    fit = beta / 2 * ((states @ m - y) ** 2).sum() + alpha / 2 * (m**2).sum()
    return h / 2 * math.log(alpha) + n / 2 * math.log(beta / (2 * math.pi)) - fit - log_determinant / 2


def maximised(states: np.ndarray, y: np.ndarray) -> float:
    def minus(logs: np.ndarray) -> float:
        return -evidence(math.exp(logs[0]), math.exp(logs[1]), states, y) / len(y)

    starts = [(0.0, 0.0), (3.0, 0.0), (0.0, 3.0), (-3.0, 1.0)]
    found = [minimize(minus, start, bounds=[(-25, 25)] * 2, method="L-BFGS-B", tol=1e-14) for start in starts]
    return -min(float(one.fun) for one in found)


def example(n: int, h: int, classes: int, seed: int, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    return rng.normal(size=(n, h)) + signal * rng.normal(size=(classes, h))[labels] + 0.3, labels


@pytest.mark.parametrize(("n", "h", "classes"), [(60, 4, 2), (80, 10, 3), (12, 30, 3), (40, 40, 2), (30, 1, 2)])
def test_classes_reach_the_maximal_evidence(n: int, h: int, classes: int) -> None:
    states, labels = example(n, h, classes, seed=n + h)
    expected = np.mean([maximised(states, (labels == k).astype(float)) for k in range(classes)])
    # With no fewer dimensions than examples the best noise may be none, which the optimiser only comes near.
    assert expected - 1e-6 < log_me(states, labels, classes=True) < expected + 1e-5


@pytest.mark.parametrize(("n", "h", "noise"), [(60, 5, 0.5), (25, 40, 1.0), (200, 3, 0.05)])
def test_scores_reach_the_maximal_evidence(n: int, h: int, noise: float) -> None:
    rng = np.random.default_rng(h)
    states = rng.normal(size=(n, h))
    scores = 2.5 + states @ rng.normal(size=h) + noise * rng.normal(size=n)
    expected = maximised(states, scores)
    assert expected - 1e-6 < log_me(states, scores, classes=False) < expected + 1e-5


def test_a_rotation_of_the_states_changes_nothing() -> None:
    states, labels = example(50, 12, 3, seed=1)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(12, 12)))
    turned = log_me(states @ rotation, labels, classes=True)
    assert turned == pytest.approx(log_me(states, labels, classes=True), abs=1e-9)


def test_the_unit_of_the_states_changes_nothing() -> None:
    states, labels = example(50, 12, 3, seed=1)
    assert log_me(1000 * states, labels, classes=True) == pytest.approx(log_me(states, labels, classes=True), abs=1e-6)


def test_the_unit_of_scores_cancels_in_a_difference_of_states() -> None:
    rng = np.random.default_rng(4)
    good, scores = rng.normal(size=(60, 5)), rng.normal(size=60)
    good[:, 0] += scores
    poor = rng.normal(size=(60, 5))
    differences = [log_me(good, c * scores, classes=False) - log_me(poor, c * scores, classes=False) for c in (1, 20)]
    assert differences[0] == pytest.approx(differences[1], abs=1e-6)


def test_informative_states_beat_noise_and_more_signal_beats_less() -> None:
    found = [log_me(*example(100, 20, 3, seed=5, signal=signal), classes=True) for signal in (0.0, 0.5, 2.0)]
    assert found[0] < found[1] < found[2]


def test_states_without_any_information_leave_the_labels_own_evidence() -> None:
    labels = np.array([0, 1, 1, 1])
    # One Gaussian around 0 for y = (1, 0, 0, 0), one for y = (0, 1, 1, 1).
    expected = np.mean([-0.5 * (math.log(2 * math.pi * share) + 1) for share in (0.25, 0.75)])
    assert log_me(np.zeros((4, 3)), labels, classes=True) == pytest.approx(expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda states: np.hstack([states, np.ones((len(states), 1))]),
        lambda states: np.hstack([states, states]),
        lambda states: states.round(),
    ],
    ids=["constant feature", "features twice", "duplicate examples"],
)
def test_awkward_states_are_scored(change) -> None:
    states, labels = example(40, 6, 2, seed=8)
    states = change(states)
    expected = np.mean([maximised(states, (labels == k).astype(float)) for k in range(2)])
    assert log_me(states, labels, classes=True) == pytest.approx(expected, abs=1e-5)


def test_labels_that_the_states_determine_have_a_finite_score() -> None:
    states = np.repeat(np.eye(2), 10, axis=0)
    clear = log_me(states, np.repeat([0, 1], 10), classes=True)
    assert math.isfinite(clear) and clear > log_me(states, np.tile([0, 1], 10), classes=True)


def test_a_class_of_one_example_is_scored() -> None:
    states, labels = example(30, 4, 2, seed=3)
    labels[0] = 2
    assert math.isfinite(log_me(states, labels, classes=True))


@pytest.mark.parametrize("classes", [True, False])
def test_equal_labels_have_no_score(classes: bool) -> None:
    assert math.isnan(log_me(np.random.default_rng(0).normal(size=(5, 2)), np.full(5, 3), classes=classes))


def test_numbers_of_examples_must_agree() -> None:
    with pytest.raises(ValueError, match="3 states and 2 labels"):
        log_me(np.zeros((3, 2)), np.zeros(2), classes=True)

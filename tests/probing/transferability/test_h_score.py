"""The H-score against its trace formula with whole covariance matrices, and sklearn's Ledoit-Wolf estimate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from transfer_atlas.probing.transferability.h_score import h_score, h_score_shrunk


def example(n: int, h: int, classes: int, seed: int, signal: float = 0.7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % classes)
    scale = np.geomspace(1, 10, h)
    return 2 + scale * (rng.normal(size=(n, h)) + signal * rng.normal(size=(classes, h))[labels]), labels


def between(states: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """cov(E[f | y]), every example with its class mean."""
    means = np.stack([states[labels == label].mean(axis=0) for label in labels])
    return np.cov(means, rowvar=False, bias=True).reshape(states.shape[1], -1)


def trace(states: np.ndarray, labels: np.ndarray) -> float:
    covariance = np.cov(states, rowvar=False, bias=True).reshape(states.shape[1], -1)
    return float(np.trace(np.linalg.pinv(covariance, rcond=1e-12) @ between(states, labels)))


def shrunk_trace(states: np.ndarray, labels: np.ndarray) -> float:
    fitted = LedoitWolf().fit(states)
    return float(np.trace(np.linalg.solve(fitted.covariance_, (1 - fitted.shrinkage_) * between(states, labels))))


@pytest.mark.parametrize(("n", "h", "classes"), [(60, 4, 2), (90, 10, 5), (20, 30, 3), (40, 1, 2)])
def test_both_are_their_traces(n: int, h: int, classes: int) -> None:
    states, labels = example(n, h, classes, seed=n)
    assert h_score(states, labels) == pytest.approx(trace(states, labels))
    assert h_score_shrunk(states, labels) == pytest.approx(shrunk_trace(states, labels))


def test_linear_maps_change_the_h_score_as_little_as_rotations_change_both() -> None:
    states, labels = example(80, 6, 3, seed=1)
    rng = np.random.default_rng(2)
    mixed = states @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    assert h_score(mixed, labels) == pytest.approx(h_score(states, labels))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert h_score_shrunk(5 * states @ rotation, labels) == pytest.approx(h_score_shrunk(states, labels))


def test_more_signal_scores_higher_within_the_bounds() -> None:
    for score in (h_score, h_score_shrunk):
        found = [score(*example(300, 10, 3, seed=4, signal=signal)) for signal in (0.0, 0.5, 3.0)]
        assert 0 <= found[0] < found[1] < found[2] <= 2
    separated = np.eye(3)[np.arange(30) % 3]
    assert h_score(separated, np.arange(30) % 3) == pytest.approx(2)


def test_with_few_examples_only_the_shrunk_score_tells_signal_from_noise() -> None:
    signal, labels = example(30, 60, 2, seed=5, signal=1.5)
    noise = np.random.default_rng(6).normal(size=(30, 60))
    assert h_score(signal, labels) == pytest.approx(1) and h_score(noise, labels) == pytest.approx(1)
    assert h_score_shrunk(signal, labels) > 2 * h_score_shrunk(noise, labels)


def test_awkward_states() -> None:
    states, labels = example(40, 5, 2, seed=7)
    expected = h_score(states, labels)
    assert h_score(np.hstack([states, np.full((40, 1), 1 / 3)]), labels) == pytest.approx(expected)
    assert h_score(np.hstack([states, states]), labels) == pytest.approx(expected)
    assert h_score(np.repeat(states, 3, axis=0), np.repeat(labels, 3)) == pytest.approx(expected)
    constant = np.full((40, 5), 1 / 3)
    assert h_score(constant, labels) == 0 and h_score_shrunk(constant, labels) == 0
    labels[0] = 9
    assert h_score(states, labels) == pytest.approx(trace(states, labels))


def test_one_class_has_no_score() -> None:
    states, _ = example(10, 3, 2, seed=8)
    assert math.isnan(h_score(states, np.zeros(10))) and math.isnan(h_score_shrunk(states, np.zeros(10)))


def test_numbers_of_examples_must_agree() -> None:
    with pytest.raises(ValueError, match="as many"):
        h_score(np.zeros((3, 2)), np.zeros(2))

"""LEEP and NCE against their sums, and against each other."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from transfer_atlas.probing.transferability.leep import leep
from transfer_atlas.probing.transferability.nce import nce


def sums_of_leep(theta: np.ndarray, labels: np.ndarray) -> float:
    """Equations 1 and 2 of the paper, term by term."""
    n, z_classes = theta.shape
    joint: dict[tuple[int, int], float] = {}
    for i in range(n):
        for z in range(z_classes):
            joint[labels[i], z] = joint.get((labels[i], z), 0.0) + theta[i, z] / n
    marginal = {z: sum(value for (_, other), value in joint.items() if other == z) for z in range(z_classes)}
    total = 0.0
    for i in range(n):
        total += math.log(sum(joint[labels[i], z] / marginal[z] * theta[i, z] for z in range(z_classes)))
    return total / n


def entropy_of_pairs(z: np.ndarray, y: np.ndarray) -> float:
    """H(Z, Y) - H(Z)."""

    def entropy(values: list) -> float:
        return -sum(count / len(values) * math.log(count / len(values)) for count in Counter(values).values())

    return entropy(list(zip(z.tolist(), y.tolist(), strict=True))) - entropy(z.tolist())


def probabilities(n: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=n)


@pytest.mark.parametrize(("n", "z", "y"), [(50, 3, 2), (40, 2, 5), (200, 6, 6)])
def test_both_are_their_sums(n: int, z: int, y: int) -> None:
    rng = np.random.default_rng(n)
    theta, labels = probabilities(n, z, n), rng.integers(0, y, n)
    assert leep(theta, labels) == pytest.approx(sums_of_leep(theta, labels))
    source = rng.integers(0, z, n)
    assert nce(source, labels) == pytest.approx(-entropy_of_pairs(source, labels))


def test_leep_of_certain_predictions_is_nce() -> None:
    rng = np.random.default_rng(3)
    source, labels = rng.integers(0, 4, 60), rng.integers(0, 3, 60)
    assert leep(np.eye(4)[source], labels) == pytest.approx(nce(source, labels))


def test_labels_that_determine_the_others() -> None:
    labels = np.array([0, 1, 2, 0, 1])
    assert nce(labels, labels) == 0 == nce(7 - labels, labels)
    assert nce(np.arange(5), labels) == 0
    assert leep(np.eye(3)[labels], labels) == 0


def test_what_tells_nothing_leaves_the_labels_entropy() -> None:
    labels = np.array([0, 0, 0, 1])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert nce(np.zeros(4), labels) == pytest.approx(-entropy)
    assert leep(np.tile([0.2, 0.8], (4, 1)), labels) == pytest.approx(-entropy)


def test_they_are_never_positive_and_better_predictions_score_higher() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 300)
    found = []
    for strength in (0.0, 1.0, 4.0):
        logits = rng.normal(size=(300, 3)) + strength * np.eye(3)[labels]
        theta = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found.append((leep(theta, labels), nce(theta.argmax(axis=1), labels)))
    assert found == sorted(found) and max(max(pair) for pair in found) <= 0
    assert found[0][1] < found[1][1] < found[2][1]


def test_a_source_class_that_no_example_gets_and_a_target_class_of_one_example() -> None:
    theta = np.hstack([probabilities(10, 2, 1), np.zeros((10, 1))])
    labels = np.array([0] * 5 + [1] * 4 + [4])
    assert leep(theta, labels) == pytest.approx(leep(theta[:, :2], labels))


def test_what_is_no_probability_is_refused() -> None:
    for wrong in (np.array([[0.5, 0.6]]), np.array([[-0.5, 1.5]]), np.array([[np.nan, 1.0]])):
        with pytest.raises(ValueError, match="sum to 1"):
            leep(wrong, np.array([0]))
    with pytest.raises(ValueError, match="as many"):
        nce(np.zeros(2), np.zeros(3))

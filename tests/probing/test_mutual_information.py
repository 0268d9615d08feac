from itertools import permutations
from math import log2

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.metrics import mutual_info_score
from sklearn.neighbors import NearestNeighbors

from transfer_atlas.probing import mutual_information as module
from transfer_atlas.probing.mutual_information import (
    Edge,
    adjusted_information,
    ensemble_weights,
    mutual_information,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def mixture(n: int, dimensions: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussians of deviation 1 whose means are 2 `shift` apart, along the diagonal."""
    labels = rng(seed).integers(0, 2, n)
    return rng(seed + 1000).normal(size=(n, dimensions)) + (2 * labels[:, None] - 1) * shift / dimensions**0.5, labels


def information_of_mixture(shift: float) -> float:
    """By numeric integration, along the line through both means: other directions tell nothing."""
    at = np.linspace(-15, 15, 30001)
    one, other = (np.exp(-((at - mean) ** 2) / 2) / (2 * np.pi) ** 0.5 for mean in (shift, -shift))
    mean = (one + other) / 2
    return float(np.trapezoid(sum(p * np.log2(p / mean) for p in (one, other)) / 2, at))


def estimates(n: int, dimensions: int, shift: float, seeds: int) -> list[float]:
    return [
        mutual_information(*mixture(n, dimensions, shift, seed), classes=True, rng=rng(seed)) for seed in range(seeds)
    ]


@pytest.mark.parametrize("dimensions", [1, 5])
@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0, 2.0])
def test_mixtures_of_gaussians_of_known_information(dimensions: int, shift: float):
    truth = information_of_mixture(shift)
    found = estimates(1500, dimensions, shift, seeds=3)
    assert np.mean(found) == pytest.approx(truth, abs=0.03 + 0.1 * truth)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6, 0.9])
def test_correlated_gaussians_of_known_information(rho: float):
    truth = -0.5 * log2(1 - rho**2)
    found = []
    for seed in range(3):
        x, noise = rng(seed).normal(size=(2, 2000))
        found.append(mutual_information(x, rho * x + (1 - rho**2) ** 0.5 * noise, classes=False, rng=rng(seed)))
    assert np.mean(found) == pytest.approx(truth, abs=0.02 + 0.1 * truth)


@pytest.mark.parametrize(("n_classes", "dimensions"), [(2, 3), (2, 384), (6, 6), (6, 384)])
def test_labels_that_the_states_decide_have_all_their_entropy(n_classes: int, dimensions: int):
    labels = rng(1).integers(0, n_classes, 872)
    centres = 20 * rng(2).normal(size=(n_classes, dimensions))
    states = centres[labels] + 0.1 * rng(3).normal(size=(872, dimensions))
    found = mutual_information(states, labels, classes=True, rng=rng())
    counts = np.bincount(labels) / 872
    assert found == pytest.approx(-(counts * np.log2(counts)).sum(), rel=0.02)


def test_noise_takes_information_away():
    labels = rng(1).integers(0, 4, 872)
    clear, noise = 10 * rng(2).normal(size=(4, 384))[labels], rng(3).normal(size=(872, 384))
    found = [
        mutual_information(clear + scale * noise, labels, classes=True, rng=rng()) for scale in (1, 10, 20, 40, 400)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.8 and found[-1] < 0.05


@pytest.mark.parametrize("dimensions", [2, 6, 384])
@pytest.mark.parametrize("n_classes", [2, 5])
def test_random_labels_tell_nothing(dimensions: int, n_classes: int):
    """Also of states that lie in clusters, where labels that belong to them would tell a lot."""
    clusters = 5 * rng(1).normal(size=(8, dimensions))
    states = clusters[rng(2).integers(0, 8, 872)] + rng(3).normal(size=(872, dimensions))
    found = [
        mutual_information(states, rng(seed).integers(0, n_classes, 872), classes=True, rng=rng(seed))
        for seed in range(10, 14)
    ]
    assert abs(np.mean(found)) < 0.02
    assert np.abs(found).max() < 0.07


@pytest.mark.parametrize("dimensions", [2, 384])
def test_random_states_tell_nothing(dimensions: int):
    assert np.abs(estimates(872, dimensions, shift=0.0, seeds=6)).max() < 0.07


def test_random_scores_tell_nothing():
    found = [
        mutual_information(rng(s).normal(size=(872, 384)), rng(s + 50).uniform(size=872), classes=False, rng=rng(s))
        for s in range(4)
    ]
    assert np.abs(found).max() < 0.1


def test_units_and_offsets_of_states_and_names_of_classes_do_not_matter():
    states, labels = mixture(500, 3, 1.0, seed=4)
    found = mutual_information(states, labels, classes=True, rng=rng())
    moved = mutual_information(states * [1e-4, 1, 1e5] + 8, labels * 7 + 3, classes=True, rng=rng())
    assert moved == pytest.approx(found, abs=1e-9)


def test_the_stream_alone_decides():
    states, labels = mixture(300, 20, 1.0, seed=4)
    found = [mutual_information(states, labels, classes=True, rng=rng(seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_a_width_of_ones_own():
    states, labels = mixture(2000, 1, 1.0, seed=4)
    found = mutual_information(states, labels, classes=True, rng=rng(), edge=Edge(width=1.0))
    assert found == pytest.approx(information_of_mixture(1.0), abs=0.06)


@pytest.mark.parametrize("classes", [True, False])
def test_what_never_changes_tells_nothing(classes: bool):
    varied, constant = rng().integers(0, 2, 100), np.full(100, 3)
    assert mutual_information(varied, constant, classes=classes, rng=rng()) == pytest.approx(0, abs=1e-9)
    assert mutual_information(constant, varied, classes=classes, rng=rng()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [1, 2, 12])
def test_very_few_examples(n: int):
    assert -1 <= mutual_information(rng().normal(size=(n, 40)), np.arange(n) % 2, classes=True, rng=rng()) <= 1


@pytest.mark.parametrize(("n", "labels"), [(0, 0), (5, 4)])
def test_numbers_of_examples_must_agree(n: int, labels: int):
    with pytest.raises(ValueError, match=f"{n} states and {labels} labels"):
        mutual_information(np.zeros((n, 3)), np.zeros(labels, dtype=int), classes=True, rng=rng())


def test_weights_are_the_best_that_sum_to_1():
    scales, n = np.linspace(0.5, 1, 10), 872

    def cost(weights: np.ndarray) -> float:
        biases = [n ** (0.5 - i / 6) * (weights @ scales**i) for i in (1, 2, 3)]
        return float(weights @ weights + np.square(biases).sum())

    found = minimize(cost, np.full(10, 0.1), constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, tol=1e-12)
    assert ensemble_weights(tuple(scales), 3, n) == pytest.approx(found.x, abs=1e-3)


def test_weights_cancel_the_slow_terms_of_the_bias():
    """As the paper's theorem asks, with ever more examples; the last power is weighed against the deviation."""
    scales = np.linspace(0.5, 1, 10)
    few, many = (ensemble_weights(tuple(scales), 3, n) for n in (100, 10**12))
    for i in (1, 2):
        assert abs(many @ scales**i) < 0.02 < 0.2 < abs(few @ scales**i)


def test_weights_of_few_examples_avoid_variance():
    scales = tuple(np.linspace(0.5, 1, 10))
    norms = [np.linalg.norm(ensemble_weights(scales, 5, n)) for n in (10, 100, 1000, 10000)]
    assert norms == sorted(norms)


def test_chance_is_the_mean_over_all_permutations():
    x, y = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 2])
    raw = [mutual_info_score(x, order) for order in permutations(y)]
    adjusted = [adjusted_information(x, np.array(order)) for order in permutations(y)]
    assert np.mean(adjusted) == pytest.approx(0, abs=1e-12)
    full = min(mutual_info_score(x, x), mutual_info_score(y, y))
    expected = (raw[0] - np.mean(raw)) / (full - np.mean(raw)) * full / np.log(2)
    assert adjusted[0] == pytest.approx(expected)


def test_full_information_is_not_adjusted():
    x = np.array([0, 1, 2, 0, 1, 2, 0])
    assert adjusted_information(x, x) == pytest.approx(mutual_info_score(x, x) / np.log(2))
    assert adjusted_information(np.arange(7), x) == 0


def test_distance_to_the_nearest_neighbour():
    values = np.sort(rng(5).exponential(size=200))
    for k in (1, 7, 199):
        distances = NearestNeighbors(n_neighbors=k + 1).fit(values[:, None]).kneighbors(values[:, None])[0]
        assert module._neighbour_distance(values, k) == pytest.approx(distances[:, k].mean())

"""Distances of two tasks' states, on clouds whose distance is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from transfer_atlas.probing.transferability.domain_distance import centroid_distance, proxy_a_distance


def cloud(n: int, shift: float, seed: int, h: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, h)) + shift * np.eye(h)[0] + np.eye(h)[1]


def test_centroids_by_their_cosine() -> None:
    first, second = cloud(30, 0.0, 1), cloud(50, 3.0, 2)
    assert centroid_distance(first, second) == pytest.approx(cosine(first.mean(axis=0), second.mean(axis=0)))
    assert centroid_distance(first, 2 * first) == pytest.approx(0, abs=1e-12)
    assert centroid_distance(first, -first) == pytest.approx(2)
    assert math.isnan(centroid_distance(first, np.zeros((4, 8))))


def test_proxy_a_distance_from_chance_to_certainty() -> None:
    found = [proxy_a_distance(cloud(150, 0.0, 1), cloud(150, shift, 2)) for shift in (0.0, 1.5, 20.0)]
    assert abs(found[0]) < 0.4 and found[0] + 0.5 < found[1] < 1.7 and found[2] == 2


def test_proxy_a_distance_of_known_gaussians() -> None:
    """The best classifier of two unit Gaussians 2 apart errs on the normal tail beyond 1: 0.1587."""
    found = proxy_a_distance(cloud(1500, 0.0, 3, h=3), cloud(1500, 2.0, 4, h=3))
    assert found == pytest.approx(2 * (1 - 2 * 0.1587), abs=0.06)


def test_texts_that_the_classifier_was_fitted_on_do_not_count() -> None:
    """In 100 dimensions a linear map tells any 80 points apart that it has seen."""
    assert abs(proxy_a_distance(cloud(40, 0.0, 10, h=100), cloud(40, 0.0, 11, h=100))) < 0.8


def test_equal_texts_cannot_be_told_apart() -> None:
    texts = cloud(100, 0.0, 5)
    assert proxy_a_distance(texts, texts) <= 0


def test_the_larger_side_counts_with_its_first_rows() -> None:
    first, second = cloud(60, 0.0, 6), cloud(200, 1.0, 7)
    assert proxy_a_distance(first, second) == proxy_a_distance(first, second[:60])


def test_too_few_examples_tell_nothing() -> None:
    assert math.isnan(proxy_a_distance(cloud(9, 0.0, 8), cloud(100, 0.0, 9)))

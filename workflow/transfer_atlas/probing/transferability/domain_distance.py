"""How far apart the texts of two tasks lie for an encoder: centroids, and how well a classifier tells them apart.

The proxy of the A-distance (Ben-David, Blitzer, Crammer & Pereira 2007, "Analysis of Representations for Domain
Adaptation", section 4) is 2 (1 - 2 err) with the error of a linear classifier on examples that it was not fitted on: 2
where the domains are told apart without error, 0 where the classifier does no better than chance.
"""

from __future__ import annotations

import math

import numpy as np

from transfer_atlas.probing.linear import probe

FOLDS = 5
# Fewer examples of a side leave nothing to choose the classifier's penalty on.
LEAST_EXAMPLES = 2 * FOLDS


def centroid_distance(first: np.ndarray, second: np.ndarray) -> float:
    """1 minus the cosine of the mean states of two tasks, [N, H] and [M, H]: from 0 to 2; NaN where a mean is 0."""
    centroids = [np.asarray(side, dtype=np.float64).mean(axis=0) for side in (first, second)]
    length = math.prod(float(np.linalg.norm(centroid)) for centroid in centroids)
    return math.nan if length == 0 else float(1 - centroids[0] @ centroids[1] / length)


def proxy_a_distance(first: np.ndarray, second: np.ndarray) -> float:
    """2 (1 - 2 err) of a logistic regression that tells states [N, H] of one task from [M, H] of another.

    err is that of cross-validation. Both sides count with their first min(N, M) rows, whose order should be random.
    Equal texts on both sides cannot be told apart, so by chance the value may be below 0. NaN with too few examples.
    """
    n = min(len(first), len(second))
    if n < LEAST_EXAMPLES:
        return math.nan
    # Rows of both sides alternate: the probe holds out every fifth row to choose its penalty.
    states = np.stack([first[:n], second[:n]], axis=1).astype(np.float64).reshape(2 * n, -1)
    sides = np.tile([0, 1], n)
    fold = np.repeat(np.arange(n) % FOLDS, 2)
    right = 0.0
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        accuracy = probe(states[train], sides[train], states[test], sides[test], "sequence_classification", "accuracy")
        right += accuracy * test.sum()
    return 2 * (1 - 2 * (1 - right / len(sides)))

"""LEEP: how well a source model's classes, as they are, predict the target's labels.

Nguyen, Hassner, Seeger & Archambeau 2020, "LEEP: A New Measure to Evaluate Transferability of Learned Representations"
(ICML; arXiv 2002.12462), eq. 1 and 2: with the source model's probabilities theta(x) of its classes z on the target's
examples, P(y, z) = 1/N sum_{i: y_i = y} theta(x_i)_z, and

    LEEP = 1/N sum_i log sum_z P(y_i | z) theta(x_i)_z
"""

from __future__ import annotations

import numpy as np

from transfer_atlas.probing.transferability.labels import class_indices


def leep(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The log expected empirical prediction in nats: at most 0, and minus the labels' entropy where z tells nothing.

    Args:
        probabilities: [N, Z] of the source model's classes; rows sum to 1.
        labels: [N] classes of the target.

    Raises:
        ValueError: for no examples, different numbers of them, or rows that are no probabilities.
    """
    n = len(probabilities)
    if n == 0 or n != len(labels):
        raise ValueError(f"{n} rows of probabilities and {len(labels)} labels: there must be as many, and at least one")
    theta = np.asarray(probabilities, dtype=np.float64)
    if (theta < 0).any() or not np.allclose(theta.sum(axis=1), 1.0, atol=1e-6):
        raise ValueError("rows of probabilities must not be negative and must sum to 1")
    indices = class_indices(labels)
    joint = np.eye(indices.max() + 1)[indices].T @ theta / n
    marginal = joint.sum(axis=0)
    # A class that the source model gives no example tells nothing of any.
    conditional = np.divide(joint, marginal, out=np.zeros_like(joint), where=marginal > 0)
    expected = (conditional[indices] * theta).sum(axis=1)
    return float(min(np.log(expected).mean(), 0.0))

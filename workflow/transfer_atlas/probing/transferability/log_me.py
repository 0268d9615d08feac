"""LogME: how likely a Bayesian linear model of states makes the labels.

You, Liu, Wang & Long 2021, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning" (ICML; arXiv
2102.11005). Labels y [N] are a linear map of the states F [N, H] with weights from N(0, 1 / alpha) and noise from
N(0, 1 / beta). With A = alpha I + beta F'F and m = beta A^-1 F'y the logarithm of their evidence is (eq. 2)

    H/2 log alpha + N/2 log beta - N/2 log 2 pi - beta/2 |F m - y|^2 - alpha/2 |m|^2 - 1/2 log |A|

LogME is its maximum over alpha and beta, divided by N. Classes are maps of their own, from 0 to 1 (one against the
rest), whose evidences are averaged. States are neither centred nor scaled, as in the paper.
"""

from __future__ import annotations

import math

import numpy as np

from transfer_atlas.probing.transferability.labels import class_indices

# The ratio t = alpha / beta stays within these multiples of the largest eigenvalue of F'F: where labels are noise the
# best one is infinite, where states determine them without noise it is 0.
LIMITS = (1e-9, 1e9)
# Iterations end where t changes by less than this share: the evidence, flat at its maximum, then changes by its square.
TOLERANCE = 1e-6
ITERATIONS = 1000


def log_me(states: np.ndarray, labels: np.ndarray, *, classes: bool) -> float:
    """Maximal log evidence of the labels for each example: the higher, the better the states fit them.

    It can only be compared between states of the same examples: the labels' own scale and frequencies are part of it.

    Args:
        states: [N, H].
        labels: [N] classes or scores.
        classes: whether the labels are classes. NaN where all labels are equal.

    Raises:
        ValueError: for no examples, or different numbers of states and labels.
    """
    if len(states) == 0 or len(states) != len(labels):
        raise ValueError(f"{len(states)} states and {len(labels)} labels: there must be as many, and at least one")
    indices = class_indices(labels)
    if indices.max() == 0:
        return math.nan
    targets = np.eye(indices.max() + 1)[indices] if classes else np.asarray(labels, dtype=np.float64)[:, None]
    left, singular, _ = np.linalg.svd(np.asarray(states, dtype=np.float64), full_matrices=False)
    eigenvalues = singular**2
    along = (left.T @ targets) ** 2
    # What of the labels no map of the states reaches; of what they reach wholly rounding may leave less than nothing.
    beyond = np.maximum((targets**2).sum(axis=0) - along.sum(axis=0), 0.0)
    evidences = [_evidence(eigenvalues, along[:, k], float(beyond[k]), len(states)) for k in range(targets.shape[1])]
    return float(np.mean(evidences))


def _evidence(eigenvalues: np.ndarray, along: np.ndarray, beyond: float, n: int) -> float:
    """The maximal evidence of one map for each example.

    Args:
        eigenvalues: [k] squared singular values of the states, the largest first.
        along: [k] squared parts of the labels along the left singular vectors.
        beyond: squared length of the rest of the labels.
        n: examples.
    """
    largest = float(eigenvalues[0])
    if largest == 0:
        # Nothing but noise of the labels' own size.
        return _at(1.0, eigenvalues, along, beyond, n)
    low, high = (limit * largest for limit in LIMITS)
    ratio = min(max(1.0, low), high)
    for _ in range(ITERATIONS):
        before = ratio
        # The paper's fixed point: gamma = sum beta s / (alpha + beta s), alpha = gamma / |m|^2 and
        # beta = (N - gamma) / |F m - y|^2, written in t = alpha / beta.
        weights, residual = _fit(ratio, eigenvalues, along, beyond)
        gamma = float((eigenvalues / (eigenvalues + ratio)).sum())
        above, below = gamma * residual, weights * (n - gamma)
        ratio = min(max(above / below, low), high) if below > 0 else high
        if abs(ratio - before) <= TOLERANCE * before:
            break
    return _at(ratio, eigenvalues, along, beyond, n)


def _fit(ratio: float, eigenvalues: np.ndarray, along: np.ndarray, beyond: float) -> tuple[float, float]:
    """|m|^2 and |F m - y|^2 at t = alpha / beta."""
    shrunk = eigenvalues + ratio
    return float((eigenvalues * along / shrunk**2).sum()), float(((ratio / shrunk) ** 2 * along).sum()) + beyond


def _at(ratio: float, eigenvalues: np.ndarray, along: np.ndarray, beyond: float, n: int) -> float:
    """The evidence at t = alpha / beta and the best beta for it, N / (|F m - y|^2 + t |m|^2), for each example."""
    weights, residual = _fit(ratio, eigenvalues, along, beyond)
    noise = (residual + ratio * weights) / n
    determinant = float(np.log1p(eigenvalues / ratio).sum())
    return -0.5 * (math.log(2 * math.pi * noise) + 1 + determinant / n)

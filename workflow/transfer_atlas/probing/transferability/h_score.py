"""H-score: how far apart classes lie in the states, against the states' scatter; and its shrinkage version.

Bao, Li, Huang, Zhang, Zheng, Zamir & Guibas 2019, "An Information-Theoretic Approach to Transferability in Task
Transfer Learning" (ICIP), definition 2: tr(cov(f)^-1 cov(E[f | y])).

The inverse of a covariance from few examples of many dimensions follows their noise. Ibrahim, Ponomareva & Mazumder
2021, "Newer is not always better: Rethinking transferability metrics, their peculiarities, stability and performance"
(arXiv 2110.06893), section 3: with the Ledoit-Wolf estimate (1 - a) cov(f) + a s I, s the mean variance of a dimension,
the score is tr(((1 - a) cov(f) + a s I)^-1 (1 - a) cov(E[f | y])).

With centred states U S V' both traces are sums over the singular directions, and no covariance [H, H] is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage

from transfer_atlas.probing.transferability.labels import class_indices

# Directions with a smaller share of the largest singular value are rounding of none.
RANK_TOLERANCE = 1e-10


def h_score(states: np.ndarray, labels: np.ndarray) -> float:
    """The H-score: from 0 to one less than the number of classes; with the pseudo-inverse where cov(f) has none.

    With no more examples than dimensions it is at its upper end whatever the labels are.

    Args:
        states: [N, H].
        labels: [N] classes; NaN where fewer than two occur.

    Raises:
        ValueError: for different numbers of states and labels.
    """
    spread = _spread(states, labels)
    return math.nan if spread is None else float(spread.between.sum())


def h_score_shrunk(states: np.ndarray, labels: np.ndarray) -> float:
    """The H-score with the Ledoit-Wolf estimate of cov(f), which few examples do not drive to its upper end.

    Arguments and errors as of `h_score`; 0 where all states are equal.
    """
    spread = _spread(states, labels)
    if spread is None:
        return math.nan
    if len(spread.variances) == 0:
        return 0.0
    shrinkage = float(ledoit_wolf_shrinkage(spread.centred, assume_centered=True))
    mean_variance = spread.variances.sum() / spread.centred.shape[1]
    kept = (1 - shrinkage) * spread.variances
    return float((spread.between * kept / (kept + shrinkage * mean_variance)).sum())


@dataclass(frozen=True)
class _Spread:
    """Centred states [N, H]; along each of their r singular directions, the variance and the share of it that lies
    between classes, both [r]."""

    centred: np.ndarray
    variances: np.ndarray
    between: np.ndarray


def _spread(states: np.ndarray, labels: np.ndarray) -> _Spread | None:
    """None where fewer than two classes occur."""
    n = len(states)
    if n != len(labels):
        raise ValueError(f"{n} states and {len(labels)} labels: there must be as many")
    indices = class_indices(labels)
    if n == 0 or indices.max() == 0:
        return None
    states = np.asarray(states, dtype=np.float64)
    centred = states - states.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    # Measured by the states, not by what centring leaves of them: of equal states that is rounding alone.
    kept = singular > RANK_TOLERANCE * np.linalg.norm(states)
    left, singular = left[:, kept], singular[kept]
    members = np.eye(indices.max() + 1)[indices]
    means = members.T @ left / members.sum(axis=0)[:, None]
    # Rows of U have the variance 1/N in each direction, of which the class means have this share.
    between = (members.sum(axis=0)[:, None] * means**2).sum(axis=0)
    return _Spread(centred, singular**2 / n, between)

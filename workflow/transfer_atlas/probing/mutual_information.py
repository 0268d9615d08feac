"""Mutual information between states and labels: the ensemble dependency graph estimator.

EDGE (Noshad, Zeng & Hero 2019, arXiv 1801.09125). Both variables are hashed: rounded to cells of width epsilon after a
random shift, states of many dimensions after a random projection, and the cells to integers. The dependence graph joins
a cell of X to a cell of Y where examples fall into both; its weights N_ij N / (N_i M_j) estimate the density ratio, and
the mean of their logarithms over the examples is the estimate for one width. Estimates for several widths are combined
with weights that cancel the bias, which is a polynomial in the width (section 4 of the paper).

A projection loses information, so for states of many dimensions this is a lower bound: what a few random directions
tell of the labels, not what the best direction does.

Where this departs from the code released by the authors (github.com/mrtnoshad/EDGE, 4.3.1 and 4.4.1):

- Chance. With N examples in C cells, unrelated labels seem to tell about C / 2N. The released code lets that stand and
  then widens or narrows the cells by a factor that depends on a first estimate (`normalize_epsilon`). That turns every
  first estimate under about a fifth of a bit to 0.001 (4.3.1), and unrelated labels into 0.9 bits where many cells hold
  one example (4.4.1, 872 examples of 384 dimensions). Here each estimate is adjusted for chance exactly (Vinh, Epps &
  Bailey 2010): the expectation over all permutations of the labels becomes 0, full information stays.
- Ratios under 1 keep their negative logarithm; the released code raises each to 0.001 bits, which is a bias upwards.
  Its bound of 10 bits on each logarithm is not needed after the adjustment.
- The weights are those of the paper's theorem with its constraints weighed against variance, as a problem of least
  squares. The released code takes the median by default.
- Shifts and projections come from the generator that is given, and `repeats` draws of both are averaged: with a single
  one, as in the released code, the projection decides as much as the states do.
- Labels that are classes are their own cells.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.metrics.cluster import expected_mutual_information

# Up to so many dimensions the states are hashed as they are; above, so are random projections of them.
FEW_DIMENSIONS = 6
# A projection has so many dimensions that a cell of two halves in each holds so many examples in the mean.
EXAMPLES_PER_CELL = 10
# Width as a multiple of sqrt(dimensions) times the distance to the k-th nearest neighbour in one dimension. Chosen,
# like the scales, on mixtures of two Gaussians whose information is known: with about 1000 examples or more in 1 to 5
# dimensions the estimate is within a tenth of it, and 0.03 bits.
WIDTH = 5.0
# Distances are taken at so many examples.
NEIGHBOUR_SAMPLE = 500
# Least width, in standard deviations: values that repeat have neighbours at distance 0.
LEAST_WIDTH = 1.0e-4


@dataclass(frozen=True)
class Edge:
    """Choices of the estimator."""

    scales: tuple[float, ...] = tuple(np.linspace(0.5, 1.0, 10).tolist())
    """The ensemble's widths, as multiples of the largest."""
    repeats: int = 20
    """Ensembles averaged, each with a projection of its own."""
    width: float | None = None
    """Largest width in standard deviations of each hashed dimension; null takes it from nearest neighbours."""


def mutual_information(
    states: np.ndarray, labels: np.ndarray, *, classes: bool, rng: np.random.Generator, edge: Edge | None = None
) -> float:
    """Estimated mutual information in bits: about 0, on either side, where there is none; for classes at most their
    entropy, which the weighted sum may exceed.

    Args:
        states: [N, d] or [N].
        labels: [N] classes (integers) or scores.
        classes: whether the labels are classes.
        rng: the stream that shifts and projections are drawn from.

    Raises:
        ValueError: for no examples, or different numbers of states and labels.
    """
    edge = edge or Edge()
    n = len(states)
    if n == 0 or len(labels) != n:
        raise ValueError(f"{n} states and {len(labels)} labels: there must be as many, and at least one")
    states = _standardised(np.asarray(states, dtype=np.float64).reshape(n, -1))
    hashed_dimensions = _hashed_dimensions(n, states.shape[1])
    dimensions = hashed_dimensions + (not classes)
    weights = ensemble_weights(edge.scales, dimensions, n)
    label_cells = np.unique(labels, return_inverse=True)[1].reshape(n)
    scores = _standardised(np.asarray(labels, dtype=np.float64).reshape(n, 1))
    score_widths = None if classes else _widths(scores, dimensions, edge.width)
    estimates = np.zeros((edge.repeats, len(edge.scales)))
    for repeat in range(edge.repeats):
        hashed = _projected(states, hashed_dimensions, rng)
        widths = _widths(hashed, dimensions, edge.width)
        for i, scale in enumerate(edge.scales):
            x = _cells(hashed, scale * widths, rng)
            y = label_cells if score_widths is None else _cells(scores, scale * score_widths, rng)
            estimates[repeat, i] = adjusted_information(x, y)
    estimate = float(estimates.mean(axis=0) @ weights)
    return min(estimate, _entropy(np.bincount(label_cells)) / math.log(2)) if classes else estimate


def ensemble_weights(scales: tuple[float, ...], dimensions: int, n: int) -> np.ndarray:
    """Weights [L] of the estimates at `scales`, that sum to 1.

    The bias at scale t is a sum of c_i t^i N^(-i / 2d) over i = 1..d, the deviation about N^(-1/2) |w|. The weights
    minimise |w|^2 + sum_i (N^(1/2 - i / 2d) sum_t w(t) t^i)^2: the paper's constraints, that each sum over t be 0, as
    far as they are worth the variance that they cost.
    """
    powers = np.arange(1, dimensions + 1)
    bias = n ** (0.5 - powers[:, None] / (2 * dimensions)) * np.asarray(scales)[None, :] ** powers[:, None]
    solved = np.linalg.solve(np.eye(len(scales)) + bias.T @ bias, np.ones(len(scales)))
    weights: np.ndarray = solved / solved.sum()
    return weights


def adjusted_information(x: np.ndarray, y: np.ndarray) -> float:
    """Information in bits between two labellings [N] by 0..K-1, 0 in the mean over permutations, unchanged if full.

    (I - E I) / (I_max - E I) * I_max, where I_max is the smaller of both entropies. 0 where every permutation tells as
    much as can be told, as when each example is a cell of its own.
    """
    n, n_x, n_y = len(x), np.bincount(x), np.bincount(y)
    joint, count = np.unique(x * len(n_y) + y, return_counts=True)
    i, j = np.divmod(joint, len(n_y))
    found = float(count @ np.log(count * n / (n_x[i] * n_y[j]))) / n
    chance = float(expected_mutual_information(sparse.csr_matrix((count, (i, j))), n))
    most = min(_entropy(n_x), _entropy(n_y))
    if most - chance < 1e-9:
        return 0.0
    return (found - chance) / (most - chance) * most / math.log(2)


def _entropy(counts: np.ndarray) -> float:
    """Entropy in nats of shares proportional to `counts`, none of them 0."""
    shares = counts / counts.sum()
    return float(-(shares @ np.log(shares)))


def _standardised(values: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and deviation 1; constant columns 0."""
    deviation = values.std(axis=0)
    centred: np.ndarray = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return centred


def _hashed_dimensions(n: int, dimensions: int) -> int:
    """All dimensions where there are few; otherwise log2(N / 10), at least 1."""
    if dimensions <= FEW_DIMENSIONS:
        return dimensions
    return min(dimensions, max(1, math.floor(math.log2(max(n / EXAMPLES_PER_CELL, 1)))))


def _projected(states: np.ndarray, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """A random projection of the states to so many `dimensions`, or themselves where they have no more: [N, k]."""
    if states.shape[1] == dimensions:
        return states
    return states @ (rng.standard_normal((states.shape[1], dimensions)) / math.sqrt(states.shape[1]))


def _widths(values: np.ndarray, dimensions: int, given: float | None) -> np.ndarray:
    """Largest width of cells in each column of [N, k]; `dimensions` are those of states and scores together."""
    n = len(values)
    least = LEAST_WIDTH * np.maximum(values.std(axis=0), np.finfo(np.float64).tiny)
    if given is not None:
        return np.maximum(given * values.std(axis=0), least)
    # The released code's rule; its last factor, exp(-1 / max(10000, d^4)), is 1 within 0.0001.
    neighbour = min(n - 1, max(1, math.floor(0.43 * n ** (2 / 3 + 0.17 * dimensions / (dimensions + 1)))))
    distances = np.array([_neighbour_distance(np.sort(column), neighbour) for column in values.T])
    return np.maximum(WIDTH * math.sqrt(dimensions) * distances, least)


def _neighbour_distance(ordered: np.ndarray, k: int) -> float:
    """Mean distance to the k-th nearest neighbour over examples spread evenly among the sorted values [N]."""
    n = len(ordered)
    at = np.unique(np.linspace(0, n - 1, min(n, NEIGHBOUR_SAMPLE)).astype(np.int64))
    # The k nearest and the value itself lie next to each other: of the windows of k + 1 that hold it, the tightest.
    starts = at[:, None] - np.arange(k + 1)
    inside = (starts >= 0) & (starts + k < n)
    first, last = ordered[np.clip(starts, 0, n - 1)], ordered[np.clip(starts + k, 0, n - 1)]
    reach = np.maximum(ordered[at, None] - first, last - ordered[at, None])
    return float(np.where(inside, reach, np.inf).min(axis=1).mean())


def _cells(values: np.ndarray, widths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The cell of each row of [N, k], numbered from 0: rounding after a random shift, then a hash of the row."""
    shifted = np.floor(values / widths + rng.random(values.shape[1])).astype(np.int64)
    # A random linear map modulo 2^64: different cells meet with a chance of about N^2 / 2^64.
    odd = rng.integers(0, 2**63, size=values.shape[1], dtype=np.int64) * 2 + 1
    return np.unique((shifted * odd).sum(axis=1), return_inverse=True)[1].reshape(len(values))

"""Labels as transferability scores need them: classes counted from 0, scores of regression in bins."""

from __future__ import annotations

import numpy as np

# Bins of a regression task's scores. The similarity scales in use run from 0 to 5, so that is about one bin a step,
# and of 1000 examples each has 200: means of smaller bins would follow noise in hundreds of dimensions.
BINS = 5


def class_indices(labels: np.ndarray) -> np.ndarray:
    """The classes that occur in `labels` [N], numbered from 0 in their order: [N] int64."""
    return np.unique(labels, return_inverse=True)[1].reshape(len(labels)).astype(np.int64)


def quantile_bins(scores: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Classes [N] of scores [N] with about as many examples each: equal scores are in one bin, so there may be fewer.

    A score that is itself a border belongs to the bin below it.
    """
    borders = np.quantile(np.asarray(scores, dtype=np.float64), np.arange(1, bins) / bins)
    return class_indices(np.searchsorted(np.unique(borders), scores, side="left"))

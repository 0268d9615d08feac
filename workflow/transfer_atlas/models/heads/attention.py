"""What heads that compare sequences share: attention by plain dot products, and pooling of padded sequences.

Sequences 2i and 2i + 1 are a pair. Both are computed at once, as one batch, so nothing can tell the first from the
second but the places of their pooled vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor


def partners(values: Tensor) -> Tensor:
    """[2B, ...] with the two sequences of each pair in exchanged places."""
    return values.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def side_by_side(pooled: Tensor) -> Tensor:
    """[2B, F] of sequences to [B, 2F] of pairs."""
    return pooled.reshape(len(pooled) // 2, -1)


def attend(queries: Tensor, keys: Tensor, inside: Tensor) -> Tensor:
    """For each query the keys' mean, weighted by the softmax of dot products.

    Args:
        queries: [S, N, H].
        keys: [S, M, H].
        inside: [S, M] which keys exist; at least one in each sequence.

    Returns:
        [S, N, H].
    """
    products = torch.bmm(queries, keys.transpose(1, 2))
    weights = torch.softmax(products.masked_fill(~inside[:, None], float("-inf")), dim=2)
    return torch.bmm(weights, keys)


def largest(values: Tensor, inside: Tensor) -> Tensor:
    """Largest value of each dimension within each sequence, [S, N, H] -> [S, H]."""
    return values.masked_fill(~inside[:, :, None], float("-inf")).amax(dim=1)


def smallest(values: Tensor, inside: Tensor) -> Tensor:
    """Smallest value of each dimension within each sequence, [S, N, H] -> [S, H]."""
    return values.masked_fill(~inside[:, :, None], float("inf")).amin(dim=1)


def mean(values: Tensor, inside: Tensor) -> Tensor:
    """Mean of each sequence, [S, N, H] -> [S, H]."""
    inside = inside[:, :, None].to(values.dtype)
    return (values * inside).sum(dim=1) / inside.sum(dim=1)

"""Vocabulary compaction: train only the embedding rows that the run's examples use.

Rows that no example uses get no gradient, so Adam leaves them alone; only decoupled weight decay would touch them,
and that is a known factor. Leaving them out while training and putting them back gives the same weights at a
fraction of the memory and optimiser work. The full matrix is never copied, only read: it may be mapped from a file.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Vocabulary:
    """Which embedding rows a compacted encoder holds: the sorted ids [U] of `size` ids."""

    size: int
    used: Tensor

    def lookup(self) -> Tensor:
        """[V] row of each used id, -1 elsewhere."""
        table = torch.full((self.size,), -1, dtype=torch.int64)
        table[self.used] = torch.arange(len(self.used))
        return table


def word_embeddings(encoder: nn.Module) -> Tensor:
    """The embedding matrix of an encoder, [V, H], without its history."""
    weight: Tensor = encoder.get_input_embeddings().weight  # type: ignore[operator]
    return weight.detach()


def compact_copy(encoder: nn.Module, used: Tensor) -> tuple[nn.Module, Vocabulary]:
    """A copy of an encoder whose word embeddings hold the rows `used` (sorted, unique ids, [U]) only."""
    old = encoder.get_input_embeddings()  # type: ignore[operator]
    vocabulary = Vocabulary(len(old.weight), used)
    # Padding gets no gradient, not even where a text spells it.
    padding = -1 if old.padding_idx is None else int(vocabulary.lookup()[old.padding_idx])
    rows = old.weight.detach()[used]
    new = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=padding if padding >= 0 else None)
    new.train(old.training)
    # Whatever refers to the full embeddings refers to the compact ones in the copy.
    return copy.deepcopy(encoder, {id(old): new}), vocabulary


@contextmanager
def holding(
    encoder: nn.Module, vocabulary: Vocabulary, ids: Tensor, originals: Tensor, decay: float = 1.0
) -> Iterator[None]:
    """Within the context a compacted encoder holds the rows of other ids, the trained ones as they are now.

    Args:
        ids: [W] sorted ids.
        originals: [W, H] their rows before training.
        decay: Product over all updates of (1 - learning rate x weight decay): what the unused rows would have seen.
    """
    compacted = encoder.get_input_embeddings()  # type: ignore[operator]
    row = vocabulary.lookup()[ids]
    trained = row >= 0
    weight = originals * decay
    weight[trained] = compacted.weight.detach().to(weight.device)[row[trained]]
    encoder.set_input_embeddings(nn.Embedding.from_pretrained(weight.to(compacted.weight.device)))  # type: ignore[operator]
    try:
        yield
    finally:
        encoder.set_input_embeddings(compacted)  # type: ignore[operator]

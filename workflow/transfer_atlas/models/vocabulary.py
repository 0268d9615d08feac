"""Vocabulary compaction: train only the embedding rows that the run's examples use.

Rows that no example uses get no gradient, so Adam leaves them alone; only decoupled weight decay would touch them,
and that is a known factor. Leaving them out while training and putting them back gives the same weights at a
fraction of the memory and optimiser work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FullVocabulary:
    """What was set aside: the full embedding matrix [V, H] and the sorted ids [U] that stayed."""

    weight: Tensor
    used: Tensor

    def lookup(self) -> Tensor:
        """[V] compact index of each used id, -1 elsewhere."""
        table = torch.full((len(self.weight),), -1, dtype=torch.int64)
        table[self.used] = torch.arange(len(self.used))
        return table


def compact(encoder: nn.Module, used: Tensor) -> FullVocabulary:
    """Shrink the encoder's word embeddings in place to the rows `used` (sorted, unique ids, [U])."""
    old = encoder.get_input_embeddings()  # type: ignore[operator]
    full = FullVocabulary(old.weight.detach(), used)
    # Padding gets no gradient, not even where a text spells it.
    padding = -1 if old.padding_idx is None else int(full.lookup()[old.padding_idx])
    rows = full.weight[used.to(full.weight.device)].clone()
    new = nn.Embedding.from_pretrained(rows, freeze=False, padding_idx=padding if padding >= 0 else None)
    new.train(old.training)
    encoder.set_input_embeddings(new)  # type: ignore[operator]
    return full


@contextmanager
def restored(encoder: nn.Module, full: FullVocabulary, decay: float = 1.0) -> Iterator[None]:
    """Within the context the encoder has all rows, the trained ones in their places.

    Args:
        encoder: The compacted encoder.
        full: What `compact` returned.
        decay: Product over all updates of (1 - learning rate x weight decay): what the unused rows would have seen.
    """
    compacted = encoder.get_input_embeddings()  # type: ignore[operator]
    weight = full.weight * decay
    weight[full.used] = compacted.weight.detach().to(weight.device)
    whole = nn.Embedding.from_pretrained(weight.to(compacted.weight.device))
    encoder.set_input_embeddings(whole)  # type: ignore[operator]
    try:
        yield
    finally:
        encoder.set_input_embeddings(compacted)  # type: ignore[operator]

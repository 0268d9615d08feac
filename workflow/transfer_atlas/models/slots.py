"""Sentences as sequences that are run step by step in both directions at once, without padding.

A slot is a token's place in the order of computation: the first tokens of all sequences, then their second tokens, and
so on, longest sequence first, so that those still running at a step are always the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from transfer_atlas.models.sequences import starts_of


@dataclass(frozen=True)
class Slots:
    """Which token is read when.

    Attributes:
        tokens: [2, N] token of each slot, reading forward and backward.
        sizes: Number of sequences still running at each step; their sum is N.
    """

    tokens: Tensor
    sizes: list[int]

    def places(self) -> Tensor:
        """[2, N] slot of each token."""
        return torch.argsort(self.tokens, dim=1)


def side_by_side(lengths: Tensor) -> Slots:
    """Every sentence ([B] lengths, each at least 1) is a sequence of its own."""
    longest_first = torch.argsort(lengths, descending=True, stable=True)
    starts, lengths = starts_of(lengths)[longest_first], lengths[longest_first]
    steps = torch.arange(int(lengths[0]))[:, None]
    running = steps < lengths
    tokens = torch.stack([(starts + steps)[running], (starts + lengths - 1 - steps)[running]])
    return Slots(tokens, running.sum(dim=1).tolist())


def one_after_the_other(lengths: Tensor) -> Slots:
    """All sentences are one sequence: each begins where the one before it ended, also when read backward."""
    total = int(lengths.sum())
    tokens = torch.arange(total)
    ends = torch.repeat_interleave(2 * starts_of(lengths) + lengths - 1, lengths)
    return Slots(torch.stack([tokens, ends - tokens]), [1] * total)

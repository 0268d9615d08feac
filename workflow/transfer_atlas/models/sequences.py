"""Sequences of vectors, one after the other without padding, and a padded view of them for what needs one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


def starts_of(lengths: Tensor) -> Tensor:
    """Where each of these parts begins ([N]), one lying after the other."""
    return torch.cumsum(lengths, 0) - lengths


def rows_of_parts(starts: Tensor, lengths: Tensor) -> Tensor:
    """Indices into flat values of parts that begin at `starts` and have `lengths` entries, one part after the other."""
    return torch.arange(int(lengths.sum())) + torch.repeat_interleave(starts - starts_of(lengths), lengths)


class Padding:
    """Where the units of S sequences lie in a padded view of [S, longest] slots.

    Attributes:
        lengths: [S] units of each sequence, float32 on the device: what sums are divided by.
        inside: [S, longest] bool, whether a slot holds a unit.
        places: [T] slot that each unit lies in, of the flattened view.
    """

    def __init__(self, lengths: Tensor, device: torch.device):
        """View sequences of these lengths ([S], int64, on the CPU)."""
        inside = torch.arange(int(lengths.max())) < lengths[:, None]
        self.lengths = lengths.to(device, torch.float32)
        self.inside = inside.to(device)
        self.places = inside.flatten().nonzero().squeeze(1).to(device)

    def pad(self, values: Tensor) -> Tensor:
        """[T, H] -> [S, longest, H] with zeros in empty slots."""
        slots = values.new_zeros(self.inside.numel(), values.shape[1])
        # Each slot takes one unit at most, so both directions are copies, which no device adds up in random order.
        return slots.index_copy(0, self.places, values).view(*self.inside.shape, -1)

    def unpad(self, padded: Tensor) -> Tensor:
        """[S, longest, H] -> [T, H]."""
        return padded.flatten(0, 1).index_select(0, self.places)


@dataclass(frozen=True)
class Sequences:
    """The states of S sequences, of T units (pieces or words) in all.

    Attributes:
        states: [L, T, H] float32, of L layers, one sequence after the other.
        lengths: [S] units of each sequence, int64 on the CPU, each at least 1.
        spans: [S, 2, 2] int64 on the CPU, for tasks on marked spans: start and end (not included) of the first and the
            second span of each sequence, in units from its beginning; (-1, -1) where there is no second.
    """

    states: Tensor
    lengths: Tensor
    spans: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the states lie."""
        return self.states.device

    @cached_property
    def padding(self) -> Padding:
        """The padded view of these sequences."""
        return Padding(self.lengths, self.device)

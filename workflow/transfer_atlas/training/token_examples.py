"""Tokenised texts as examples of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from transfer_atlas.models.packing import PackedBatch, Packing
from transfer_atlas.models.sequences import rows_of_parts, starts_of
from transfer_atlas.training.targets import targets_of


@dataclass(frozen=True)
class TokenisedExamples:
    """Tokenised texts, stored flat.

    Attributes:
        input_ids, token_type_ids: [total tokens], int64.
        starts, lengths: [N] where each text's tokens lie.
        targets: [N].
        position_offset: What the encoder adds to positions (RoBERTa).
        truncated: How many texts were longer than the limit.
        states: [total tokens, H] of the highest frozen layer, where they have been computed.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    starts: Tensor
    lengths: Tensor
    targets: Tensor
    position_offset: int
    truncated: int
    states: Tensor | None = None

    def __len__(self) -> int:
        return len(self.lengths)

    def sizes(self) -> Tensor:
        """[N] tokens of each example."""
        return self.lengths

    def units(self, rows: Tensor) -> Tensor:
        """[len(rows)] outputs of each of these rows: one a text."""
        return torch.ones_like(rows)

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        """[len(rows)] targets of these rows."""
        return self.targets[rows].to(device)

    def tokens_of(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Indices into the flat tokens of these rows ([T]) and their positions within the text ([T])."""
        lengths = self.lengths[rows]
        positions = rows_of_parts(torch.zeros_like(lengths), lengths)
        return torch.repeat_interleave(self.starts[rows], lengths) + positions, positions

    def batch(self, rows: Tensor, device: torch.device) -> PackedBatch:
        """Pack these rows ([B]) into one row of tokens."""
        tokens, positions = self.tokens_of(rows)
        packing = Packing(self.lengths[rows], device)

        def row(values: Tensor) -> Tensor:
            return pad(values, (0, packing.filler))[None].to(device)

        return PackedBatch(
            input_ids=row(self.input_ids[tokens]),
            token_type_ids=row(self.token_type_ids[tokens]),
            position_ids=row(positions + self.position_offset),
            packing=packing,
            states=None if self.states is None else pad(self.states[tokens], (0, 0, 0, packing.filler)).to(device),
        )

    def take(self, rows: np.ndarray) -> TokenisedExamples:
        """Only these rows, in this order; `truncated` is not known for a part and set to 0."""
        index = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        tokens, _ = self.tokens_of(index)
        lengths = self.lengths[index]
        return TokenisedExamples(
            input_ids=self.input_ids[tokens],
            token_type_ids=self.token_type_ids[tokens],
            starts=starts_of(lengths),
            lengths=lengths,
            targets=self.targets[index],
            position_offset=self.position_offset,
            truncated=0,
            states=None if self.states is None else self.states[tokens],
        )

    def vocabulary(self) -> Tensor:
        """Sorted distinct token ids in use."""
        return torch.unique(self.input_ids)

    def with_ids(self, table: Tensor) -> TokenisedExamples:
        """The same examples with every id replaced by `table[id]`."""
        return replace(self, input_ids=table[self.input_ids])


def flat_examples(
    ids: Sequence[Sequence[int]],
    types: Sequence[Sequence[int]],
    targets: Tensor,
    position_offset: int,
    truncated: int,
) -> TokenisedExamples:
    """Examples of these token ids and types, one list a text."""
    lengths = torch.tensor([len(row) for row in ids], dtype=torch.int64)
    return TokenisedExamples(
        input_ids=torch.tensor([t for row in ids for t in row], dtype=torch.int64),
        token_type_ids=torch.tensor([t for row in types for t in row], dtype=torch.int64),
        starts=starts_of(lengths),
        lengths=lengths,
        targets=targets,
        position_offset=position_offset,
        truncated=truncated,
    )


def examples_of(encoded: Any, targets: Tensor, position_offset: int) -> TokenisedExamples:
    """Examples of what a fast tokenizer gave for texts."""
    ids: list[list[int]] = encoded["input_ids"]
    types: list[list[int]] = encoded.get("token_type_ids") or [[0] * len(row) for row in ids]
    truncated = sum(bool(encoding.overflowing) for encoding in encoded.encodings)
    return flat_examples(ids, types, targets, position_offset, truncated)


def tokenise(
    tokenizer: Any,
    texts: list[str],
    pairs: list[str] | None,
    labels: np.ndarray,
    max_length: int,
    position_offset: int,
) -> TokenisedExamples:
    """Tokenise texts (or text pairs, jointly, longest first truncated) with special tokens.

    Args:
        labels: [N] int64 classes or float64 scores.
    """
    encoded = tokenizer(texts, pairs, truncation=True, max_length=max_length)
    return examples_of(encoded, targets_of(labels), position_offset)

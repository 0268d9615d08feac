"""Encoding examples with a frozen encoder: states of every layer, pooled or of each unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.errors import UserError
from transfer_atlas.models.heads.pooled import pool
from transfer_atlas.models.network import Encode
from transfer_atlas.models.pooler import Pooler
from transfer_atlas.models.sequences import Sequences, rows_of_parts, starts_of
from transfer_atlas.representations import storage
from transfer_atlas.settings import Pooling
from transfer_atlas.training.loop import autocast, evaluation_rows
from transfer_atlas.training.progress import EncodingProgress
from transfer_atlas.training.unit_examples import UnitExamples


@torch.no_grad()
def encoded(
    encode: Encode, examples: UnitExamples, device: torch.device, precision: str, progress_seconds: float
) -> Iterator[tuple[Tensor, Sequences]]:
    """Rows of batches, and their units' states in all layers: of the embeddings and each layer, [layers + 1, U, H]."""
    progress = EncodingProgress(int(examples.sizes().sum()), progress_seconds)
    for rows in evaluation_rows(examples):
        batch = examples.batch(rows, device)
        with autocast(device, precision):
            layers = encode(batch.inputs)
        yield rows, batch.units.read(layers)
        progress.encoded(int(examples.sizes()[rows].sum()))


def pooled_states(sequences: Sequences, pooling: Pooling, pooler: Pooler | None, sequences_each: int) -> Tensor:
    """One vector for each example, [layers + 1, B, H]; of two sequences (u, v) it is [u; v; |u - v|; u * v]."""
    ends = torch.cumsum(sequences.lengths, 0)
    pooled = torch.stack([pool(layer, ends - sequences.lengths, ends, pooling) for layer in sequences.states])
    if pooler is not None:
        pooled = pooler(pooled)
    if sequences_each == 1:
        return pooled
    first, second = pooled[:, 0::2], pooled[:, 1::2]
    return torch.cat([first, second, (first - second).abs(), first * second], dim=-1)


def units_each(examples: UnitExamples) -> Tensor:
    """[N, s] units of each sequence of each example."""
    lengths = examples.inputs.lengths[:, None] if examples.table is None else examples.table.lengths
    return lengths.reshape(len(examples), -1)


def write_states(
    folder: Path,
    split: str,
    encode: Encode,
    examples: UnitExamples,
    *,
    pooling: Pooling | None,
    pooler: Pooler | None = None,
    width: int,
    layers: int,
    device: torch.device,
    precision: str,
    progress_seconds: float,
) -> tuple[int, ...]:
    """Encode a split and write its states into `folder`; the shape of what was written.

    Args:
        encode: Runs the encoder, which is on `device` and in evaluation mode.
        pooling: `mean`, `first` or `max` of each example's units, the first through the `pooler`, or `cls`, the only
            one; None: the states of all units.
        pooler: Maps the pooled states of every layer; on `device`.
        width: H, of the encoder's states.
        layers: Of the encoder, without the embeddings.
    """
    units = units_each(examples)
    each = units.shape[1]
    counts = units.sum(1) if pooling is None else torch.ones(len(examples), dtype=torch.int64)
    starts = starts_of(counts)
    features = 4 * width if pooling is not None and each == 2 else width
    shape = (int(counts.sum()), layers + 1, features)
    # Half the space; the rounding is a tenth of that of the products in bfloat16.
    dtype = "float16" if pooling is None and precision == "bfloat16" else "float32"
    with storage.new_states(folder, split, shape, dtype) as states:
        for rows, sequences in encoded(encode, examples, device, precision, progress_seconds):
            found = sequences.states if pooling is None else pooled_states(sequences, pooling, pooler, each)
            values = found.transpose(0, 1).cpu().numpy()
            # NaN and infinity are what a diverged training left, and stay.
            largest = float(np.fmax.reduce(np.abs(values), axis=None))
            if float(np.finfo(dtype).max) < largest < np.inf:
                raise UserError(
                    f"{storage.states_file(folder, split)}: a state is {largest:g}, more than {dtype} holds"
                )
            states[rows_of_parts(starts[rows], counts[rows]).numpy()] = values
    kept = units.flatten() if pooling is None else counts
    storage.write_lengths(folder, split, examples.sizes().numpy(), kept.numpy())
    return shape

"""Representations on disk: states of all layers, memory-mapped.

<folder>/<split>.npy          [N, layers + 1, H] float32, pooled; layer 0 is the embeddings
                              or [U, layers + 1, H] of all units, float16 where they were computed in bfloat16
<folder>/<split>.lengths.npy  [N] tokens of each example
<folder>/<split>.units.npy    [S] units of each sequence; of pooled states 1 each
<folder>/representations.json written last: shapes, how many texts were truncated, what they were made of
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transfer_atlas import atomic

MANIFEST = "representations.json"


@dataclass(frozen=True)
class Stored:
    """The states of a split: [N or U, layers + 1, H], tokens of each example [N] and units of each sequence [S]."""

    states: np.ndarray
    lengths: np.ndarray
    units: np.ndarray


def states_file(folder: Path, split: str) -> Path:
    """Where the states of a split lie."""
    return folder / f"{split}.npy"


@contextmanager
def new_states(folder: Path, split: str, shape: tuple[int, ...], dtype: str) -> Iterator[np.ndarray]:
    """An array to be filled within the context, on disk; complete or not there at all."""
    with atomic.replacing(states_file(folder, split)) as temporary:
        states = np.lib.format.open_memmap(temporary, "w+", dtype, shape)
        yield states
        states.flush()


def write_lengths(folder: Path, split: str, lengths: np.ndarray, units: np.ndarray) -> None:
    """Write how long a split's examples and sequences are, atomically."""
    for name, array in (("lengths", lengths), ("units", units)):
        with atomic.replacing(folder / f"{split}.{name}.npy") as temporary, open(temporary, "wb") as stream:
            np.save(stream, array, allow_pickle=False)


def read_split(folder: Path, split: str) -> Stored:
    """Memory-map a split's states and read how long its examples and sequences are."""
    # Copy on write: torch takes no array that cannot be written, and the file stays as it is.
    states = np.load(states_file(folder, split), mmap_mode="c", allow_pickle=False)
    lengths, units = (np.load(folder / f"{split}.{name}.npy", allow_pickle=False) for name in ("lengths", "units"))
    return Stored(states, lengths, units)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `extract_features` wrote about these representations."""
    manifest: dict[str, Any] = atomic.read_json(folder / MANIFEST)
    return manifest

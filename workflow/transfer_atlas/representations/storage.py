"""Representations on disk: pooled states of all layers, memory-mapped.

<folder>/<split>.npy          [N, layers + 1, H] float32; layer 0 is the embeddings
<folder>/<split>.lengths.npy  [N] tokens of each text
<folder>/representations.json written last: shapes, how many texts were truncated, digests
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from transfer_atlas import atomic

MANIFEST = "representations.json"


def states_file(folder: Path, split: str) -> Path:
    """Where the states of a split lie."""
    return folder / f"{split}.npy"


def write_split(folder: Path, split: str, states: np.ndarray, lengths: np.ndarray) -> None:
    """Write a split's states and token counts, atomically."""
    for path, array in ((states_file(folder, split), states), (folder / f"{split}.lengths.npy", lengths)):
        with atomic.replacing(path) as temporary, open(temporary, "wb") as stream:
            np.save(stream, array, allow_pickle=False)


def read_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Memory-map a split's states, [N, layers + 1, H], and read its token counts, [N]."""
    # Copy on write: torch takes no array that cannot be written, and the file stays as it is.
    states = np.load(states_file(folder, split), mmap_mode="c", allow_pickle=False)
    return states, np.load(folder / f"{split}.lengths.npy", allow_pickle=False)


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `extract_features` wrote about these representations."""
    manifest: dict[str, Any] = atomic.read_json(folder / MANIFEST)
    return manifest

"""Carving missing splits from the training rows, and limiting evaluation splits.

Both go by the SHA-256 of the normalised text: no seed, no order of rows, no machine has a say, and rows with equal
texts are never torn apart by carving.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.normalise import key_hash

Indices = npt.NDArray[np.int64]


def wanted_rows(amount: int | float, n_rows: int, setting: str) -> int:
    """A setting's number of rows: whole numbers as they are, fractions of `n_rows` rounded.

    Raises:
        UserError: where a fraction comes to less than one row; `setting` is the key to name.
    """
    if isinstance(amount, int):
        return amount
    rows = round(amount * n_rows)
    if rows < 1:
        raise UserError(f"{setting}: {amount} of {n_rows} rows is less than one row; raise it or give a number of rows")
    return rows


def carve(keys: list[str], sizes: dict[str, int], setting: str) -> dict[str, Indices]:
    """Divide the rows: for each split of `sizes` whole groups of equal keys until it has at least that many rows.

    Args:
        keys: normalised text of each row (`normalise.row_key`).
        sizes: rows wanted for each split, in the order in which the splits choose.
        setting: the key to name in an error, without the split (`tasks.x.carve`).

    Returns:
        Row indices (ascending) of each split of `sizes` and of `train`, which gets the rest.

    Raises:
        UserError: where nothing would be left to train on.
    """
    groups: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    waiting = sorted(groups, key=key_hash, reverse=True)
    left = len(keys)
    parts: dict[str, Indices] = {}
    for split, size in sizes.items():
        taken: list[int] = []
        while waiting and len(taken) < size:
            taken.extend(groups[waiting.pop()])
        if not waiting:
            raise UserError(
                f"{setting}.{split}: {size} rows cannot be carved from {left} and leave rows to train on "
                f"({len(keys)} training rows, {len(groups)} different texts); lower it or name a file for {split}"
            )
        left -= len(taken)
        parts[split] = np.sort(np.array(taken, dtype=np.int64))
    rest = [index for key in waiting for index in groups[key]]
    parts["train"] = np.sort(np.array(rest, dtype=np.int64))
    return parts


def limited(keys: list[str], size: int) -> Indices:
    """Indices (ascending) of the `size` rows with the smallest hashes; all rows where there are no more."""
    hashes = [key_hash(key) for key in keys]
    first = sorted(range(len(keys)), key=lambda index: (hashes[index], index))[:size]
    return np.sort(np.array(first, dtype=np.int64))

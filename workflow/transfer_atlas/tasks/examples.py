"""The canonical form of a split in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Examples:
    """Labelled texts, in the order of the file; all fields have one entry a row."""

    ids: list[str]
    """Unique and stable: split it was read from, file and row (`train-reviews.csv:17`)."""
    texts: list[str]
    pairs: list[str] | None
    """Second texts of the pair types, else None."""
    labels: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    """Class indices (int64) or scores (float64), shape (rows,)."""

    def __post_init__(self) -> None:
        lengths = {len(self.ids), len(self.texts), len(self.labels)}
        if self.pairs is not None:
            lengths.add(len(self.pairs))
        if len(lengths) != 1:
            raise ValueError(f"fields of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, indices: Sequence[int] | npt.NDArray[np.int64]) -> Examples:
        """The rows at `indices`, in that order."""
        where = np.asarray(indices, dtype=np.int64)
        places = where.tolist()
        return Examples(
            ids=[self.ids[i] for i in places],
            texts=[self.texts[i] for i in places],
            pairs=None if self.pairs is None else [self.pairs[i] for i in places],
            labels=self.labels[where],
        )

"""Which training examples a run of a given size and seed sees."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from transfer_atlas.errors import UserError
from transfer_atlas.streams import stream_seed


def nested_subset(n_rows: int, size: int | Literal["all"], seed: int) -> npt.NDArray[np.int64]:
    """Row indices of the training subset, shape (size,).

    The first `size` entries of one permutation a seed, so a smaller subset is the beginning of every larger one,
    and all methods, models and surgeries of a seed see the same examples.

    Raises:
        UserError: where there are fewer rows than `size`.
    """
    if size != "all" and size > n_rows:
        raise UserError(f"a train size of {size} needs {size} training rows and there are {n_rows}; lower the size")
    permutation = np.random.Generator(np.random.PCG64(stream_seed(seed, "subset"))).permutation(n_rows)
    return permutation[: n_rows if size == "all" else size].astype(np.int64)

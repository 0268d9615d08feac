"""Made-up runs of a model with three layers, and the surgeries that were done to it."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from transfer_atlas.analysis import tables
from transfer_atlas.settings import Surgery


@pytest.fixture
def layers() -> dict[str, int]:
    return {"tiny": 3}


@pytest.fixture
def surgeries() -> dict[str, Surgery]:
    """One of each kind, and two more progressive ones; their order is not that of the alphabet."""
    return {
        "resets": Surgery(kind="progressive"),
        "authors": Surgery(kind="progressive", init="authors_code"),
        "careful": Surgery(kind="progressive", init="authors_code", biases="keep", rate_factor=5),
        "blocks": Surgery(kind="block", width=2, init="authors_code"),
        "alone": Surgery(kind="preserve", width=2),
        "singles": Surgery(kind="single", layer_norm="keep"),
        "shuffled": Surgery(kind="permute", permutations=8),
    }


@pytest.fixture
def main(make_runs, tasks) -> Callable[..., pd.DataFrame]:
    """`main(rows, rows, ...)`: the main scores of these runs together."""
    return lambda *rows: tables.main_scores(pd.concat(rows, ignore_index=True), tasks)


@pytest.fixture
def interval() -> Callable[[Sequence[float]], tuple[float, float]]:
    """`interval(values)`: their mean's t interval."""

    def of(values):
        half = float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
        return np.mean(values) - half, np.mean(values) + half

    return of

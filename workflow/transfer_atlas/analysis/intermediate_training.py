"""How the trainings on intermediate tasks themselves went, and how many rows each had to leave out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from transfer_atlas import atomic
from transfer_atlas.plan import State

COLUMNS = {
    "model": "str",
    "intermediate": "str",
    "target": "str",
    "seed": "int64",
    "n_train": "int64",
    "left_out": "int64",
    "steps": "int64",
    "tokens": "int64",
    "split": "str",
    "metric": "str",
    "value": "float64",
    "n_examples": "int64",
    "run": "str",
}


def collect(trainings: Sequence[tuple[State, Path]]) -> pd.DataFrame:
    """One row for each intermediate training, split and metric.

    `left_out` counts the intermediate task's training rows that hold a text of the target's evaluation splits; they
    were removed before training.

    Args:
        trainings: Each state and the file that says how its training went.
    """
    rows = []
    for state, path in trainings:
        result = atomic.read_json(path)
        shared = {
            "model": state.model,
            "intermediate": state.intermediate,
            "target": state.task,
            "seed": state.seed,
            "run": result["digest"],
            **{name: result["facts"][name] for name in ("n_train", "left_out", "steps", "tokens")},
        }
        rows += [{**shared, **value} for value in result["values"]]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)

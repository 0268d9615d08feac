"""How the trainings on intermediate tasks themselves went, and how many rows each had to leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from transfer_atlas import atomic
from transfer_atlas.plan import State
from transfer_atlas.settings import Intermediate

COLUMNS = {
    "model": "str",
    "intermediate": "str",
    "task": "str",
    "after": "str",
    "seed": "int64",
    "n_train": "int64",
    "left_out": "int64",
    "steps": "int64",
    "steps_before": "int64",
    "tokens": "int64",
    "split": "str",
    "metric": "str",
    "value": "float64",
    "n_examples": "int64",
    "run": "str",
}


def collect(trainings: Sequence[tuple[State, Path]], intermediates: Mapping[str, Intermediate]) -> pd.DataFrame:
    """One row for each intermediate training, split and metric.

    `left_out` counts the training rows that hold a text of the evaluation splits of a task trained afterwards; they
    were removed before training. `steps_before` are the updates of the trainings before it in a chain, whose last is
    `after`.

    Args:
        trainings: Each state and the file that says how its training went.
        intermediates: The configuration's entries.
    """
    rows = []
    for state, path in trainings:
        result = atomic.read_json(path)
        entry = intermediates[state.intermediate]
        shared = {
            "model": state.model,
            "intermediate": state.intermediate,
            "task": entry.task,
            "after": entry.after,
            "seed": state.seed,
            "run": result["digest"],
            "steps_before": result["steps_before"],
            **{name: result["facts"][name] for name in ("n_train", "left_out", "steps", "tokens")},
        }
        rows += [{**shared, **value} for value in result["values"]]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)

"""How many rows of intermediate tasks were left out, because a task trained or scored afterwards holds their texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from transfer_atlas import atomic

# `shared` counts the rows left out because of one later task, `left_out` those because of any; a row that several tasks
# hold is in several `shared`.
COLUMNS = {
    "intermediate": "str",
    "task": "str",
    "split": "str",
    "other_task": "str",
    "shared": "int64",
    "left_out": "int64",
    "rows": "int64",
}


def collect(files: Mapping[str, Path]) -> pd.DataFrame:
    """One row for each intermediate entry, split of its task and later task.

    Args:
        files: the counts (`steps.decontaminate`) of each intermediate entry.
    """
    rows = []
    for name, path in files.items():
        counts = atomic.read_json(path)
        for split, found in counts["splits"].items():
            shared = {"intermediate": name, "task": counts["task"], "split": split}
            shared |= {"left_out": found["left_out"], "rows": found["rows"]}
            rows += [{**shared, "other_task": other, "shared": n} for other, n in found["shared"].items()]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)

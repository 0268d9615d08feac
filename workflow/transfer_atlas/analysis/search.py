"""How hyper-parameters were chosen: what was tried, what each candidate scored on validation, what was taken."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transfer_atlas.errors import UserError

CELL = ["model", "intermediate", "task", "recipe", "size"]
# One row for each candidate of each cell. `settings`: its values by key, as JSON. `n`: its trainings, of which
# `diverged` gave no finite predictions. `mean`, `sd`: its score on validation over them, empty where one diverged.
# `candidates`: how many were tried for the cell; `spread`: how much the best of these is above the worst.
COLUMNS = {
    **dict.fromkeys(CELL, "str"),
    "candidate": "int64",
    "settings": "str",
    "metric": "str",
    "mean": "float64",
    "sd": "float64",
    "n": "int64",
    "diverged": "int64",
    "chosen": "bool",
    "candidates": "int64",
    "spread": "float64",
}


def collect(files: Sequence[Path]) -> pd.DataFrame:
    """One row for each candidate of each cell whose hyper-parameters were chosen, in the order of the files.

    Args:
        files: the trials of each bundle (`results/cells/<bundle>.search.parquet`).

    Raises:
        UserError: a file is missing or cannot be read.
    """
    rows = []
    for trials in filter(len, map(_read, files)):
        for place, cell in trials.groupby(CELL, sort=False):
            tried = [_tried(seeds) for _, seeds in cell.groupby("candidate")]
            means = pd.Series([row["mean"] for row in tried])
            shared = {"candidates": len(tried), "spread": means.max() - means.min()}
            rows += [{**dict(zip(CELL, place, strict=True)), **row, **shared} for row in tried]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _tried(seeds: pd.DataFrame) -> dict[str, Any]:
    """What came of a candidate; `seeds` are its trials."""
    return {
        **{name: seeds[name].iloc[0] for name in ("candidate", "settings", "metric", "chosen")},
        "mean": seeds["value"].mean(skipna=False),
        "sd": seeds["value"].std(skipna=False),
        "n": len(seeds),
        "diverged": int(seeds["value"].isna().sum()),
    }


def _read(file: Path) -> pd.DataFrame:
    try:
        return pq.read_table(file, partitioning=None).to_pandas()
    except FileNotFoundError:
        raise UserError(f"{file}: no such file; run again to make it") from None
    except (pa.ArrowInvalid, OSError):
        raise UserError(f"{file}: not a readable parquet file; delete it and run again") from None

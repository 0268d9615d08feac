"""Canonical splits on disk: results/tasks/<task>/{train,validation,test}.parquet.

Columns: id, text, text_pair (pair types only), label (int64 class index or float64 score). Light to import, because
every training process does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transfer_atlas import atomic
from transfer_atlas.errors import UserError
from transfer_atlas.tasks.examples import Examples

__all__ = ["SPLITS", "Examples", "read_split", "split_file", "write_split"]

SPLITS = ("train", "validation", "test")


def split_file(folder: Path, split: str) -> Path:
    """Where a split lies in a task's folder."""
    return folder / f"{split}.parquet"


def write_split(folder: Path, split: str, examples: Examples) -> None:
    """Write a split, atomically; equal examples give equal bytes."""
    columns = {
        "id": pa.array(examples.ids, pa.string()),
        "text": pa.array(examples.texts, pa.string()),
        "label": pa.array(examples.labels),
    }
    if examples.pairs is not None:
        columns["text_pair"] = pa.array(examples.pairs, pa.string())
    order = [name for name in ("id", "text", "text_pair", "label") if name in columns]
    table = pa.table({name: columns[name] for name in order})
    with atomic.replacing(split_file(folder, split)) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_split(folder: Path, split: str) -> Examples:
    """Read a split as `prepare_task` wrote it.

    Raises:
        UserError: where the file is missing or is no canonical parquet file.
    """
    path = split_file(folder, split)
    try:
        # One file, not a data set: `read_table` would load far more of pyarrow.
        table = pq.ParquetFile(path).read()
        pairs = table["text_pair"].to_pylist() if "text_pair" in table.column_names else None
        # pyarrow's own conversion to numpy would load pandas. Integers become int64, floats float64, as written.
        labels = np.array(table["label"].to_pylist())
        return Examples(table["id"].to_pylist(), table["text"].to_pylist(), pairs, labels)
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run snakemake to prepare the task") from None
    except (pa.ArrowInvalid, KeyError) as problem:
        reason = str(problem).splitlines()[0]
        raise UserError(f"{path} is no prepared task ({reason}); delete it and run snakemake") from None

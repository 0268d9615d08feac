"""Canonical splits on disk: results/tasks/<task>/{train,validation,test}.parquet.

Columns: id, text, text_pair (pair types), words (types that read words), spans (start, end, start, end of the marked
words), group (where the task has groups), label (int64 class index or float64 score; of token_labelling the list of the
words' classes). Light to import, because every training process does.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
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
    columns = {"id": pa.array(examples.ids, pa.string()), "text": pa.array(examples.texts, pa.string())}
    if examples.pairs is not None:
        columns["text_pair"] = pa.array(examples.pairs, pa.string())
    if examples.words is not None:
        columns["words"] = pa.array(examples.words, pa.list_(pa.string()))
    if examples.spans is not None:
        offsets = pa.array(range(0, 4 * len(examples) + 1, 4), pa.int32())
        columns["spans"] = pa.ListArray.from_arrays(offsets, pa.array(examples.spans.reshape(-1)))
    if examples.groups is not None:
        columns["group"] = pa.array(examples.groups, pa.string())
    labels = pa.array(examples.labels)
    if examples.labels_words:
        labels = pa.ListArray.from_arrays(pa.array(examples.offsets, pa.int32()), labels)
    columns["label"] = labels
    with atomic.replacing(split_file(folder, split)) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def read_split(folder: Path, split: str) -> Examples:
    """Read a split as `prepare_task` wrote it.

    Raises:
        UserError: where the file is missing or is no canonical parquet file.
    """
    path = split_file(folder, split)
    try:
        # One file, not a data set: `read_table` would load far more of pyarrow.
        table = pq.ParquetFile(path).read()
        texts = table["text"].to_pylist()
        return Examples(
            ids=table["id"].to_pylist(),
            texts=texts,
            pairs=_optional(table, "text_pair"),
            labels=_labels(table["label"]),
            words=_words(table["words"], texts) if "words" in table.column_names else None,
            spans=_spans(table["spans"]) if "spans" in table.column_names else None,
            groups=_optional(table, "group"),
        )
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run snakemake to prepare the task") from None
    except (pa.ArrowInvalid, KeyError) as problem:
        reason = str(problem).splitlines()[0]
        raise UserError(f"{path} is no prepared task ({reason}); delete it and run snakemake") from None


def _optional(table: pa.Table, column: str) -> list[str] | None:
    return table[column].to_pylist() if column in table.column_names else None


def _labels(column: pa.ChunkedArray) -> npt.NDArray[np.int64] | npt.NDArray[np.float64]:
    """The labels, those of words flat; integers become int64, floats float64, as written."""
    flat = column.combine_chunks().flatten() if pa.types.is_list(column.type) else column
    # pyarrow's own conversion to numpy would load pandas.
    values = flat.to_pylist()
    return np.array(values, np.float64) if pa.types.is_floating(flat.type) else np.array(values, np.int64)


def _words(column: pa.ChunkedArray, texts: list[str]) -> list[list[str]]:
    """The words of every row. All arcs of a sentence have the same: rows of equal texts share one list."""
    first: dict[str, int] = {}
    for row, text in enumerate(texts):
        first.setdefault(text, row)
    distinct = column.take(pa.array(first.values(), pa.int64())).to_pylist()
    words = dict(zip(first, distinct, strict=True))
    return [words[text] for text in texts]


def _spans(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.array(column.combine_chunks().flatten().to_pylist(), dtype=np.int64).reshape(-1, 2, 2)

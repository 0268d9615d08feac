"""The one long table: every declared run, checked to be there, and nothing else.

A file holds the runs of one cell, or of several that one job did.

Old files and old rows may lie about; what counts is what the configuration declares. A declared run that is missing
stops the analysis: it must never silently drop out of a mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from transfer_atlas.errors import UserError

# Every column of a cell file and of runs.csv, in order, with the type it has in memory.
COLUMNS = {
    "run": "str",
    "model": "str",
    "intermediate": "str",
    "intermediate_seed": "Int64",
    "task": "str",
    "recipe": "str",
    "method": "str",
    "head": "str",
    "surgery": "str",
    "surgery_kind": "str",
    "width": "Int64",
    "init": "str",
    "biases": "str",
    "layer_norm": "str",
    "rate_factor": "float64",
    "depth": "Int64",
    "n_train": "int64",
    "size": "str",
    "seed": "int64",
    "split": "str",
    "metric": "str",
    "value": "float64",
    "n_examples": "int64",
    "steps": "int64",
    "steps_before": "int64",
    "tokens": "int64",
    "truncated": "int64",
    "truncated_train": "int64",
    "seconds": "float64",
    "peak_memory_mb": "float64",
    "device": "str",
    "precision": "str",
    "settings_digest": "str",
    "data_digest": "str",
    "model_digest": "str",
    "code_digest": "str",
}
# What tells one row from another. The run's digest does not: the same run may be in two cells (keeping all layers is
# the same run as no surgery), where it has a row for each.
KEY = [
    *("model", "intermediate", "task", "recipe", "surgery", "n_train", "size", "depth"),
    *("seed", "intermediate_seed", "split", "metric"),
]
SPLITS = ("validation", "test")

Declared = Mapping[str, Sequence[tuple[int | None, int, int | None]]]
"""Name of a cell to the (depth, seed, seed of the intermediate training) of its runs.

The depth is None without surgery and probing, the last without intermediate task.
"""
Run = tuple[str, int | None, int, int | None]  # cell, depth, seed, seed of the intermediate training


def collect(files: Mapping[Path, Declared]) -> pd.DataFrame:
    """Read the declared runs of the declared cells.

    Args:
        files: for each file of results/cells the cells and runs that it must hold.

    Returns:
        One row per run x split x metric with the columns `COLUMNS`, in an order that depends on the rows alone.
        Rows that nobody declared are left out.

    Raises:
        UserError: a cell cannot be read; a declared run is missing, has no validation or test scores, lacks a metric
            that other runs of its cell have, or is there twice.
    """
    wanted = {file: _runs(declared) for file, declared in sorted(files.items())}
    frames = [_declared_rows(file, declared) for file, declared in wanted.items() if declared]
    if not frames:
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    runs = ordered(pd.concat(frames, ignore_index=True))
    twice = runs.duplicated(KEY)
    if twice.any():
        row = runs[twice].iloc[0]
        run = (_cells(runs[twice]).iloc[0], _known(row["depth"]), int(row["seed"]), _known(row["intermediate_seed"]))
        raise UserError(f"two files hold {_name(run)}; one was copied or renamed: delete it and run again")
    return runs


def ordered(runs: pd.DataFrame) -> pd.DataFrame:
    """`runs` sorted by what tells its rows apart, so that equal rows give equal bytes wherever they came from."""
    return runs.sort_values(KEY, na_position="first", kind="stable", ignore_index=True)


def _runs(declared: Declared) -> list[Run]:
    """The declared runs, each once, in order."""
    runs = {(cell, *run) for cell, of_cell in declared.items() for run in of_cell}
    return sorted(runs, key=lambda run: tuple(-1 if part is None else part for part in run))


def _cells(rows: pd.DataFrame) -> pd.Series:
    """The name of each row's cell, as the plan has it."""
    places = rows["model"].str.cat(rows[["intermediate", "task", "recipe", "surgery"]], sep="/")
    return places + "/n" + rows["size"]


def _declared_rows(file: Path, wanted: list[Run]) -> pd.DataFrame:
    frame = _read(file, wanted)
    scores: dict[Run, list[tuple[str, str]]] = {run: [] for run in wanted}
    keep = np.zeros(len(frame), dtype=bool)
    columns = [_cells(frame), *(frame[name] for name in ("depth", "seed", "intermediate_seed", "split", "metric"))]
    for i, (cell, depth, seed, start, split, metric) in enumerate(zip(*columns, strict=True)):
        run = (cell, _known(depth), int(seed), _known(start))
        if run in scores:
            keep[i] = True
            scores[run].append((split, metric))
    _check_complete(file, scores)
    return frame[keep]


def _check_complete(file: Path, scores: Mapping[Run, list[tuple[str, str]]]) -> None:
    missing = [run for run, found in scores.items() if not found]
    if missing:
        raise UserError(f"{file}: {_missing(missing)}; delete this file and run again")
    expected = set().union(*scores.values())
    for run, found in scores.items():
        for split in SPLITS:
            if all(there != split for there, _ in found):
                raise UserError(f"{file}: {_name(run)} has no {split} scores; delete this file and run again")
        for split, metric in sorted(expected - set(found)):
            raise UserError(f"{file}: {_name(run)} has no {metric} on {split}; delete this file and run again")
        if len(found) != len(set(found)):
            raise UserError(f"{file}: {_name(run)} has two rows for one score; delete this file and run again")


def _read(file: Path, wanted: list[Run]) -> pd.DataFrame:
    try:
        # No partitioning: a folder that happens to be called a=b is not a column.
        table = pq.read_table(file, partitioning=None)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file, so {_missing(wanted)}; run again to make it") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file}: not a readable parquet file ({reason}); delete it and run again") from None
    absent = [name for name in COLUMNS if name not in table.column_names]
    if absent:
        raise UserError(f"{file}: column {absent[0]} is missing; delete this file and run again")
    frame: pd.DataFrame = table.select(list(COLUMNS)).to_pandas()
    return frame.astype(COLUMNS)


def _known(value: object) -> int | None:
    return None if pd.isna(value) else int(value)  # type: ignore[call-overload]


def _name(run: Run) -> str:
    cell, depth, seed, start = run
    after = "" if start is None else f" after intermediate seed {start}"
    return f"the run of {cell}, {'no depth' if depth is None else f'depth {depth}'}, seed {seed}{after}"


def _missing(runs: list[Run]) -> str:
    more = f" (and {len(runs) - 1} more)" if len(runs) > 1 else ""
    return f"{_name(runs[0])}{more} is missing"

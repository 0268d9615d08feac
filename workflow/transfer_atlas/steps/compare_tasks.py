"""How many rows of each task's splits hold a text of another task: results/tables/overlap.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from transfer_atlas import atomic
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.overlap import shared_rows
from transfer_atlas.tasks.storage import SPLITS, read_split

COLUMNS = ("task", "split", "other_task", "other_split", "shared", "rows", "share")


def run(folders: dict[str, Path], output: Path) -> None:
    """Write the overlap of every split with every split of every other task.

    Args:
        folders: results/tasks/<task> by task.
        output: the table's file.

    Raises:
        UserError: where a task is not prepared.
    """
    found = shared_rows(_all_splits(folders))
    with atomic.replacing(output) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(COLUMNS)
        for row in found:
            share = round(row.shared / row.rows, 6)
            table.writerow([row.task, row.split, row.other_task, row.other_split, row.shared, row.rows, share])
    n_shared = sum(row.shared > 0 for row in found)
    print(f"{n_shared} of {len(found)} pairs of splits of different tasks share texts")


def _all_splits(folders: dict[str, Path]) -> Iterator[tuple[str, str, Examples]]:
    for task, folder in folders.items():
        for split in SPLITS:
            yield task, split, read_split(folder, split)

"""Which rows an intermediate training leaves out, because a later task is chosen or scored on their texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from transfer_atlas import atomic
from transfer_atlas.errors import UserError
from transfer_atlas.identity import digest_of
from transfer_atlas.tasks.decontamination import CLEANED, EVALUATION, contamination
from transfer_atlas.tasks.overlap import forbidden_keys
from transfer_atlas.tasks.storage import read_split


def run(
    intermediate: str,
    task: str,
    size: int | Literal["all"],
    folder: Path,
    later: Mapping[str, Path],
    left_out: Path,
    counts: Path,
) -> None:
    """Write the ids of the rows left out, and how many each later task is the reason for.

    Args:
        intermediate: the entry of `intermediates`.
        task: its task, prepared in `folder`.
        size: training rows that it needs.
        later: folders of the tasks trained or scored after it, by name.
        left_out: file for the ids; it stays the same where another later task shares no text.
        counts: file for the numbers.

    Raises:
        UserError: a split has no row left, or train fewer than are needed.
    """
    evaluation = {
        name: forbidden_keys(*(read_split(place, split) for split in EVALUATION)) for name, place in later.items()
    }
    found = {split: contamination(read_split(folder, split), evaluation) for split in CLEANED}
    for split, of_split in found.items():
        told = ", ".join(f"{n} of {name}" for name, n in of_split.shared.items() if n) or "none of a later task"
        rows = f"{len(of_split.left_out)} of {of_split.rows} {split} rows of {task} are left out"
        print(f"{rows}: they hold evaluation texts ({told})", flush=True)
        if len(of_split.left_out) == of_split.rows:
            raise UserError(
                f"intermediates.{intermediate}.task: every {split} row of {task} holds an evaluation text of "
                f"{', '.join(name for name, n in of_split.shared.items() if n)}; name another task"
            )
    train = found["train"]
    train_rows = train.rows - len(train.left_out)
    if size != "all" and size > train_rows:
        raise UserError(
            f"intermediates.{intermediate}.size: {size} training rows of {task} are impossible: {train_rows} are left "
            f"without those that hold evaluation texts of later tasks; use at most {train_rows}, or all"
        )
    ids = {split: of_split.left_out for split, of_split in found.items()}
    atomic.write_json(
        left_out,
        {"digest": digest_of(ids) if any(ids.values()) else None, "train_rows": train_rows, "left_out": ids},
    )
    splits = {
        split: {"rows": of_split.rows, "left_out": len(of_split.left_out), "shared": of_split.shared}
        for split, of_split in found.items()
    }
    atomic.write_json(counts, {"task": task, "splits": splits})

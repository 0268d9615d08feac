"""Canonical splits on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.storage import Examples, read_split, split_file, write_split

SINGLE = Examples(["a", "b", "c"], ["x", "größer \u2028 🎉", "z"], None, np.array([1, 0, 1], dtype=np.int64))
PAIR = Examples(["a", "b"], ["x", "y"], ["v", "w"], np.array([0.1, 4.75]))


@pytest.mark.parametrize("examples", [SINGLE, PAIR], ids=["single", "pair"])
def test_round_trip_and_equal_bytes(tmp_path: Path, examples: Examples) -> None:
    for folder in ("one", "two"):
        write_split(tmp_path / folder, "train", examples)
    assert split_file(tmp_path / "one", "train").read_bytes() == split_file(tmp_path / "two", "train").read_bytes()
    back = read_split(tmp_path / "one", "train")
    assert (back.ids, back.texts, back.pairs) == (examples.ids, examples.texts, examples.pairs)
    assert back.labels.dtype == examples.labels.dtype
    assert back.labels.tolist() == examples.labels.tolist()


def test_take() -> None:
    taken = PAIR.take(np.array([1, 0, 1]))
    assert (taken.ids, taken.texts, taken.pairs) == (["b", "a", "b"], ["y", "x", "y"], ["w", "v", "w"])
    assert taken.labels.tolist() == [4.75, 0.1, 4.75]
    assert len(SINGLE.take([])) == 0
    with pytest.raises(ValueError, match="different lengths"):
        Examples(["a"], ["x", "y"], None, np.array([1, 0]))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"test.parquet is missing; run snakemake"):
        read_split(tmp_path, "test")
    split_file(tmp_path, "test").write_bytes(b"no parquet at all")
    with pytest.raises(UserError, match=r"test.parquet is no prepared task"):
        read_split(tmp_path, "test")


def test_reading_loads_neither_pandas_nor_torch(tmp_path: Path) -> None:
    write_split(tmp_path, "train", PAIR)
    code = (
        "import sys; from pathlib import Path; from transfer_atlas.tasks.storage import read_split; "
        "read_split(Path(sys.argv[1]), 'train'); print([m for m in ('pandas', 'torch') if m in sys.modules])"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"

"""Canonical splits on disk."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.storage import Examples, read_split, split_file, write_split

SINGLE = Examples(["a", "b", "c"], ["x", "größer \u2028 🎉", "z"], None, np.array([1, 0, 1], dtype=np.int64))
PAIR = Examples(["a", "b"], ["x", "y"], ["v", "w"], np.array([0.1, 4.75]))
WORDS = [["x", "y", "z"], ["\u200b\u05d0"], ["x", "y", "z"]]
TEXTS = [" ".join(words) for words in WORDS]
LABELLED = Examples(list("abc"), TEXTS, None, np.array([0, 1, 2, 3, 4, 5, 6]), WORDS, groups=["g", "h", "g"])
SPANS = Examples(
    list("abc"),
    TEXTS,
    None,
    np.array([1, 0, 1]),
    WORDS,
    np.array([0, 1, 1, 3, 0, 1, -1, -1, 2, 3, 0, 1]).reshape(3, 2, 2),
)
GROUPED = Examples(["a"], ["x"], None, np.array([0]), groups=["news"])


@pytest.mark.parametrize(
    "examples", [SINGLE, PAIR, LABELLED, SPANS, GROUPED], ids=["single", "pair", "labelled words", "spans", "grouped"]
)
def test_round_trip_and_equal_bytes(tmp_path: Path, examples: Examples) -> None:
    for folder in ("one", "two"):
        write_split(tmp_path / folder, "train", examples)
    assert split_file(tmp_path / "one", "train").read_bytes() == split_file(tmp_path / "two", "train").read_bytes()
    back = read_split(tmp_path / "one", "train")
    assert (back.ids, back.texts, back.pairs) == (examples.ids, examples.texts, examples.pairs)
    assert back.labels.dtype == examples.labels.dtype
    assert back.labels.tolist() == examples.labels.tolist()
    assert (back.words, back.groups) == (examples.words, examples.groups)
    assert (back.spans is None) == (examples.spans is None)
    if back.spans is not None and examples.spans is not None:
        assert back.spans.dtype == np.int64
        assert back.spans.tolist() == examples.spans.tolist()


def test_take() -> None:
    taken = PAIR.take(np.array([1, 0, 1]))
    assert (taken.ids, taken.texts, taken.pairs) == (["b", "a", "b"], ["y", "x", "y"], ["w", "v", "w"])
    assert taken.labels.tolist() == [4.75, 0.1, 4.75]
    assert len(SINGLE.take([])) == 0
    with pytest.raises(ValueError, match="different lengths"):
        Examples(["a"], ["x", "y"], None, np.array([1, 0]))


def test_labels_of_words_go_with_their_rows() -> None:
    assert LABELLED.offsets.tolist() == [0, 3, 4, 7]
    taken = LABELLED.take(np.array([2, 1, 2, 0]))
    assert taken.words == [WORDS[2], WORDS[1], WORDS[2], WORDS[0]]
    assert taken.labels.tolist() == [4, 5, 6, 3, 4, 5, 6, 0, 1, 2]
    assert taken.groups == ["g", "h", "g", "g"]
    assert taken.offsets.tolist() == [0, 3, 4, 7, 10]
    none = LABELLED.take([])
    assert (len(none), none.labels.tolist(), none.offsets.tolist()) == (0, [], [0])
    with pytest.raises(ValueError, match="different lengths"):
        Examples(["a"], ["x y"], None, np.array([0]), [["x", "y"]])
    with pytest.raises(ValueError, match="not words"):
        _ = SINGLE.offsets


def test_spans_go_with_their_rows() -> None:
    taken = SPANS.take([2, 1])
    assert taken.spans is not None
    assert taken.spans.tolist() == [[[2, 3], [0, 1]], [[0, 1], [-1, -1]]]
    assert taken.labels.tolist() == [1, 0]


def test_columns_are_those_that_a_task_has(tmp_path: Path) -> None:
    """Columns that only words have leave the files of other tasks as they were."""
    write_split(tmp_path, "train", SINGLE)
    assert pq.read_schema(split_file(tmp_path, "train")).names == ["id", "text", "label"]
    write_split(tmp_path, "train", SPANS)
    assert pq.read_schema(split_file(tmp_path, "train")).names == ["id", "text", "words", "spans", "label"]


def test_equal_texts_share_their_words(tmp_path: Path) -> None:
    write_split(tmp_path, "train", SPANS)
    words = read_split(tmp_path, "train").words
    assert words is not None
    assert words[0] is words[2]


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

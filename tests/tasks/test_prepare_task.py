"""The step: splits, statistics, summary, and the same bytes again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.settings import Task
from transfer_atlas.steps import compare_tasks, prepare_task
from transfer_atlas.tasks.storage import SPLITS, read_split

Write = Callable[[str, str | bytes], Path]


def table(rows: list[tuple[Any, ...]], header: tuple[str, ...] = ("text", "label")) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def prepare(folder: Path, output: Path, **settings: Any) -> dict[str, Any]:
    values = {"type": "sequence_classification", "files": {"train": "train.csv"}, **settings}
    prepare_task.run("toy", Task.model_validate(values), folder, output)
    stats: dict[str, Any] = json.loads((output / "stats.json").read_text(encoding="utf-8"))
    return stats


def sentences(n_rows: int, start: int = 0) -> list[tuple[str, str]]:
    return [(f"Sentence number {i}.", "yes" if i % 3 else "no") for i in range(start, start + n_rows)]


def test_carved_and_limited(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("train.csv", table([*sentences(200), ("sentence  NUMBER 7", "no")]))
    stats = prepare(tmp_path, tmp_path / "out", carve={"validation": 30, "test": 0.2}, limit={"test": 25})
    assert stats["carved"] == ["test", "validation"]
    assert stats["rows"]["test"] == 25
    assert stats["limited"]["test"] in (40, 41)
    assert stats["rows"]["validation"] in (30, 31)
    assert sum(stats["rows"].values()) + stats["limited"]["test"] - 25 == 201
    assert stats["overlap"] == {"test_in_train": 0, "test_in_validation": 0, "validation_in_train": 0}
    assert stats["label_conflicts"] == 1
    assert sum(stats["duplicates"].values()) == 1
    splits = {split: read_split(tmp_path / "out", split) for split in SPLITS}
    ids = [row for examples in splits.values() for row in examples.ids]
    assert len(set(ids)) == len(ids)
    assert all(row.startswith("train-train.csv:") for row in ids)
    printed = capsys.readouterr().out
    assert "toy: sequence_classification, " in printed
    assert "1 texts have more than one label" in printed


def test_statistics_of_given_splits(write: Write, tmp_path: Path) -> None:
    write("train.csv", table([("One two", "a"), ("one, TWO!", "b"), ("three", "a")]))
    write("validation.csv", table([("three", "a"), ("four five six", "b")]))
    write("test.csv", table([("Three.", "b"), ("four five six", "b"), ("seven", "a")]))
    files = {split: f"{split}.csv" for split in SPLITS}
    stats = prepare(tmp_path, tmp_path / "out", files=files)
    assert stats["rows"] == {"train": 3, "validation": 2, "test": 3}
    assert stats["label_counts"]["train"] == {"a": 2, "b": 1}
    assert stats["scores"] is None
    assert stats["duplicates"] == {"train": 1, "validation": 0, "test": 0}
    assert stats["label_conflicts"] == 2
    assert stats["overlap"] == {"validation_in_train": 1, "test_in_train": 1, "test_in_validation": 2}
    assert stats["words"]["validation"] == {"mean": 2.0, "median": 2.0, "max": 3}
    assert stats["characters"]["train"]["max"] == 9
    assert (stats["carved"], stats["limited"], stats["dropped"]) == ([], {}, {})


def test_statistics_of_pairs(write: Write, tmp_path: Path) -> None:
    header = ("a", "b", "score")
    write("train.csv", table([("x", "y", 1), ("Y", "x", 2), ("x", "y.", 3), ("v w", "z", 5)], header))
    write("test.csv", table([("y", "x", 1), ("x", "x", 2)], header))
    stats = prepare(
        tmp_path,
        tmp_path / "out",
        type="pair_regression",
        files={"train": "train.csv", "test": "test.csv"},
        fields={"text": "a", "text_pair": "b", "label": "score"},
        score_range=[0.0, 5.0],
        carve={"validation": 1},
    )
    assert stats["labels"] is None and stats["label_counts"] is None
    assert stats["score_range"] == [0.0, 5.0]
    assert stats["carved"] == ["validation"]
    # (x, y) three times in train, in either order; with more than one score in its own order, and (y, x) in another.
    whole = stats["duplicates"]["train"] + stats["duplicates"]["validation"]
    assert whole == 2
    assert stats["label_conflicts"] == 2
    assert stats["overlap"]["test_in_train"] + stats["overlap"]["test_in_validation"] == 1
    assert stats["scores"]["test"] == {"mean": 1.5, "sd": 0.707107, "min": 1.0, "max": 2.0}


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_bytes_again_and_wherever_the_data_lie(write: Write, tmp_path: Path) -> None:
    content = table([*sentences(100), *sentences(10)])
    for place in ("here", "there/deep"):
        write(f"{place}/train.csv", content)
    prepare(tmp_path / "here", tmp_path / "out/one")
    prepare(tmp_path / "here", tmp_path / "out/two")
    prepare(tmp_path, tmp_path / "out/three", files={"train": "there/deep/train.csv"})
    one, two, three = (outputs(tmp_path / "out" / name) for name in ("one", "two", "three"))
    assert list(one) == ["stats.json", "test.parquet", "train.parquet", "validation.parquet"]
    assert one == two == three
    prepare(tmp_path / "here", tmp_path / "out/one")
    assert outputs(tmp_path / "out/one") == one


@pytest.mark.parametrize(
    "change",
    [{"labels": ["yes", "no"]}, {"carve": {"test": 20}}, {"limit": {"test": 3}}, {"labels": {"no": "n", "yes": "y"}}],
    ids=str,
)
def test_the_digest_is_of_the_content(write: Write, tmp_path: Path, change: dict[str, Any]) -> None:
    write("train.csv", table(sentences(100)))
    digest = prepare(tmp_path, tmp_path / "out")["digest"]
    assert prepare(tmp_path, tmp_path / "out", max_length=64, label="Toy", licence="MIT")["digest"] == digest
    assert prepare(tmp_path, tmp_path / "out", **change)["digest"] != digest
    write("train.csv", table([*sentences(99), ("Sentence number 99!", "no")]))
    assert prepare(tmp_path, tmp_path / "out")["digest"] != digest


def test_dropped_rows_are_counted_and_printed(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("train.csv", table([*sentences(50), ("", "no"), ("x", "")]))
    stats = prepare(tmp_path, tmp_path / "out", bad_rows="drop")
    assert stats["dropped"] == {"empty text": 1, "missing label": 1}
    printed = capsys.readouterr().out
    assert "dropped: train.csv:52, column text: empty text ('')" in printed
    assert "  dropped: 1 empty text, 1 missing label" in printed


def test_a_bad_row_leaves_nothing_behind(write: Write, tmp_path: Path) -> None:
    write("train.csv", table([*sentences(50), ("", "no")]))
    with pytest.raises(UserError, match="empty text"):
        prepare(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_classes_without_training_rows_are_named(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write("train.csv", table(sentences(50)))
    assert prepare(tmp_path, tmp_path / "out", labels=["no", "yes", "maybe"])["label_counts"]["train"]["maybe"] == 0
    assert "no training rows for maybe" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"carve": {"test": 20}}, r"tasks.toy.carve.test: 20 rows cannot be carved from 20"),
        ({"carve": {"test": 0.01}}, r"tasks.toy.carve.test: 0.01 of 20 rows is less than one row"),
        ({"limit": {"test": 0.1}}, r"tasks.toy.limit.test: 0.1 of 2 rows is less than one row"),
    ],
)
def test_impossible_sizes(write: Write, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    write("train.csv", table(sentences(20)))
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, tmp_path / "out", **settings)


def test_overlap_table(write: Write, tmp_path: Path) -> None:
    for name, start in (("a", 0), ("b", 50), ("c", 1000)):
        write(f"{name}/train.csv", table(sentences(100, start)))
        prepare(tmp_path / name, tmp_path / "out" / name, carve={"validation": 10, "test": 10})
    output = tmp_path / "tables/overlap.csv"
    folders = {name: tmp_path / "out" / name for name in "abc"}
    compare_tasks.run(folders, output)
    with output.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["task", "split", "other_task", "other_split", "shared", "rows", "share"]
    assert len(rows) == 6 * 9
    total = {(one, other): 0 for one in "abc" for other in "abc" if one != other}
    for row in rows:
        total[row["task"], row["other_task"]] += int(row["shared"])
        assert float(row["share"]) == pytest.approx(int(row["shared"]) / int(row["rows"]), abs=1e-6)
    assert total == {("a", "b"): 50, ("b", "a"): 50, ("a", "c"): 0, ("c", "a"): 0, ("b", "c"): 0, ("c", "b"): 0}
    first = output.read_bytes()
    compare_tasks.run(folders, output)
    assert output.read_bytes() == first

"""What an intermediate task loses: every row that holds a text on which a later task is chosen or scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.steps import decontaminate
from transfer_atlas.tasks.decontamination import Contamination, contamination
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.overlap import forbidden_keys
from transfer_atlas.tasks.storage import write_split


def examples(texts: list[str], pairs: list[str] | None = None) -> Examples:
    ids = [f"x:{row}" for row in range(len(texts))]
    return Examples(ids, texts, pairs, np.arange(len(texts), dtype=np.int64))


def test_a_row_is_left_out_for_any_of_its_texts_however_they_are_written() -> None:
    evaluation = {"target": forbidden_keys(examples(["One, two.", "three"], ["four", "five"]))}
    assert evaluation == {"target": {"onetwo", "three", "four", "five"}}
    single = examples(["one two", "two", "FIVE!", "three four"])
    assert contamination(single, evaluation) == Contamination(4, ["x:0", "x:2"], {"target": 2})
    # Each text of a pair by itself, on either side.
    pairs = examples(["a", "b", "four"], ["b", "three", "c"])
    assert contamination(pairs, evaluation) == Contamination(3, ["x:1", "x:2"], {"target": 2})


def test_every_later_task_that_is_a_reason_counts_and_the_row_once() -> None:
    rows = examples(["a", "b", "c", "d"])
    evaluation = {"first": {"a", "b"}, "second": {"b", "c"}, "third": {"z"}}
    assert contamination(rows, evaluation) == Contamination(
        4, ["x:0", "x:1", "x:2"], {"first": 2, "second": 2, "third": 0}
    )


def test_nothing_forbidden_leaves_nothing_out() -> None:
    assert contamination(examples(["a", "b"]), {}) == Contamination(2, [], {})
    assert contamination(examples(["a", "b"]), {"target": set()}) == Contamination(2, [], {"target": 0})


def test_what_is_left_keeps_its_order_its_pairs_and_its_labels() -> None:
    left = examples(["a", "b", "c"], ["d", "e", "f"]).without({"x:1", "elsewhere"})
    assert (left.ids, left.texts, left.pairs, left.labels.tolist()) == (["x:0", "x:2"], ["a", "c"], ["d", "f"], [0, 2])
    assert len(examples(["a", "b"]).without({"x:0", "x:1"})) == 0
    assert examples(["a", "b"]).without(set()).texts == ["a", "b"]


def prepared(folder: Path, **splits: list[str]) -> Path:
    """A prepared task of these texts; splits that are not named hold a text of their own."""
    for split in ("train", "validation", "test"):
        texts = splits.get(split, [f"{folder.name} {split}"])
        rows = Examples(
            [f"{split}:{row}" for row in range(len(texts))], texts, None, np.zeros(len(texts), dtype=np.int64)
        )
        write_split(folder, split, rows)
    return folder


def run(tmp_path: Path, source: Path, size: int | Literal["all"] = "all", **later: Path) -> tuple[dict, dict]:
    """Decontaminate; what the two files say."""
    left_out, counts = tmp_path / "left_out.json", tmp_path / "counts.json"
    decontaminate.run("books", "reviews", size, source, later, left_out, counts)
    return json.loads(left_out.read_text()), json.loads(counts.read_text())


def test_training_and_validation_lose_what_later_tasks_validate_and_test_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = prepared(tmp_path / "reviews", train=["a", "b", "c", "d"], validation=["e", "f"], test=["a"])
    films = prepared(tmp_path / "films", train=["d"], validation=["B."], test=["a", "E"])
    music = prepared(tmp_path / "music", test=["a"])
    left_out, counts = run(tmp_path, source, films=films, music=music)
    # The later task's training rows, and the intermediate task's test, are nobody's concern.
    assert left_out["left_out"] == {"train": ["train:0", "train:1"], "validation": ["validation:0"]}
    assert left_out["train_rows"] == 2
    assert counts == {
        "task": "reviews",
        "splits": {
            "train": {"rows": 4, "left_out": 2, "shared": {"films": 2, "music": 1}},
            "validation": {"rows": 2, "left_out": 1, "shared": {"films": 1, "music": 0}},
        },
    }
    assert capsys.readouterr().out.splitlines() == [
        "2 of 4 train rows of reviews are left out: they hold evaluation texts (2 of films, 1 of music)",
        "1 of 2 validation rows of reviews are left out: they hold evaluation texts (1 of films)",
    ]


def test_the_digest_is_of_the_rows_left_out_alone(tmp_path: Path) -> None:
    source = prepared(tmp_path / "reviews", train=["a", "b", "c"], validation=["e", "f"])
    films = prepared(tmp_path / "films", test=["a"])
    other = prepared(tmp_path / "other")
    music = prepared(tmp_path / "music", test=["f"])
    nothing, _ = run(tmp_path, source, other=other)
    assert (nothing["digest"], nothing["train_rows"]) == (None, 3)
    first, _ = run(tmp_path, source, films=films)
    bytes_before = (tmp_path / "left_out.json").read_bytes()
    run(tmp_path, source, films=films, other=other)
    # A task that shares no text does not touch the file that trainings depend on.
    assert (tmp_path / "left_out.json").read_bytes() == bytes_before
    # Validation chooses an epoch, so its rows count too.
    second, _ = run(tmp_path, source, films=films, music=music)
    assert first["digest"] is not None
    assert second["digest"] not in (first["digest"], None)
    assert second["train_rows"] == first["train_rows"] == 2


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_split_of_which_nothing_is_left_is_refused(split: str, tmp_path: Path) -> None:
    source = prepared(tmp_path / "reviews", **{split: ["a", "b"]})
    films, music = prepared(tmp_path / "films", test=["a"]), prepared(tmp_path / "music", validation=["B", "c"])
    with pytest.raises(UserError) as caught:
        run(tmp_path, source, films=films, music=music, other=prepared(tmp_path / "other"))
    assert str(caught.value) == (
        f"intermediates.books.task: every {split} row of reviews holds an evaluation text of films, music; "
        "name another task"
    )
    assert not (tmp_path / "left_out.json").exists()


def test_more_training_rows_than_are_left_are_refused(tmp_path: Path) -> None:
    source = prepared(tmp_path / "reviews", train=["a", "b", "c"])
    films = prepared(tmp_path / "films", test=["a"])
    assert run(tmp_path, source, 2, films=films)[0]["train_rows"] == 2
    with pytest.raises(UserError) as caught:
        run(tmp_path, source, 3, films=films)
    assert str(caught.value) == (
        "intermediates.books.size: 3 training rows of reviews are impossible: 2 are left without those that hold "
        "evaluation texts of later tasks; use at most 2, or all"
    )

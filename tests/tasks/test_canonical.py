"""Labels, scores, and every kind of bad row."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.settings import Task
from transfer_atlas.tasks.canonical import Canonical, bad_row_lines, read_task

Read = Callable[..., Canonical]
Write = Callable[[str, str | bytes], Path]

PAIRS = {
    "type": "pair_regression",
    "fields": {"text": "a", "text_pair": "b", "label": "score"},
    "score_range": [0.0, 5.0],
}
YES_NO = {"labels": ["no", "yes"]}


# --- bad rows --------------------------------------------------------------------------------------------------
# name, bytes of the file, settings, message, reason
BAD_ROWS: dict[str, tuple[str, bytes, dict[str, Any], str, str]] = {
    "missing label": (
        "train.csv", b"text,label\na,no\nb,yes\nc, \n", {}, "train.csv:4, column label: missing label (' ')",
        "missing label",
    ),
    "missing label in JSON": (
        "train.jsonl", b'{"text": "a", "label": "no"}\n{"text": "b", "label": null}\n', YES_NO,
        "train.jsonl:2, column label: missing label (None)", "missing label",
    ),
    "NaN for a label": (
        "train.jsonl", b'{"text": "a", "label": "no"}\n{"text": "b", "label": NaN}\n', YES_NO,
        "train.jsonl:2, column label: missing label (nan)", "missing label",
    ),
    "empty text": (
        "train.csv", b"text,label\na,no\n  ,yes\nb,yes\n", {}, "train.csv:3, column text: empty text ('  ')",
        "empty text",
    ),
    "empty second text": (
        "train.tsv", b"a\tb\tscore\nx\ty\t1\nx\t\t1\n", PAIRS, "train.tsv:3, column b: empty text ('')", "empty text",
    ),
    "no text in JSON": (
        "train.jsonl", b'{"text": null, "label": "no"}\n{"text": "b", "label": "no"}\n', YES_NO,
        "train.jsonl:1, column text: empty text (None)", "empty text",
    ),
    "too few columns": (
        "train.csv", b"id,text,label\n1,a,no\n2,b\n3,c,yes\n", {},
        "train.csv:3, column label: wrong number of columns (2 where 3 are expected)", "wrong number of columns",
    ),
    "too many columns": (
        "train.tsv", b"text\tlabel\na\tno\nb\tyes\tmore\nc\tyes\n", {},
        "train.tsv:3, column 3: wrong number of columns (3 where 2 are expected)", "wrong number of columns",
    ),
    "too few columns without header": (
        "train.csv", b"no,a\nyes\nyes,b\n", {"header": False, "columns": ["label", "text"]},
        "train.csv:2, column text: wrong number of columns (1 where 2 are expected)", "wrong number of columns",
    ),
    "not UTF-8": (
        "train.csv", b"text,label\na,no\ncaf\xe9,yes\nb,yes\n", {},
        "train.csv:3, column text: not decodable (byte 0xe9 after 'caf' is not utf-8)", "not decodable",
    ),
    "label not UTF-8": (
        "train.csv", b"text,label\na,no\nb,yes\nc,\xe9\n", {},
        "train.csv:4, column label: not decodable (byte 0xe9 is not utf-8)", "not decodable",
    ),
    "half a surrogate pair": (
        "train.jsonl", b'{"text": "a", "label": "no"}\n{"text": "b\\ud83d", "label": "no"}\n', YES_NO,
        "train.jsonl:2, column text: not decodable (half a character, U+D83D after 'b' is not utf-8)", "not decodable",
    ),
    "unknown label": (
        "train.csv", b"text,label\na,no\nb,maybe\nc,yes\n", YES_NO,
        "train.csv:3, column label: unknown label ('maybe'; known are 'no', 'yes')", "unknown label",
    ),
    "NaN score": (
        "train.tsv", b"a\tb\tscore\nx\ty\t1\nx\ty\tNaN\n", PAIRS,
        "train.tsv:3, column score: score is not a finite number ('NaN')", "score is not a finite number",
    ),
    "infinite score": (
        "train.jsonl", b'{"a": "x", "b": "y", "score": 1}\n{"a": "x", "b": "y", "score": Infinity}\n', PAIRS,
        "train.jsonl:2, column score: score is not a finite number (inf)", "score is not a finite number",
    ),
    "score in words": (
        "train.tsv", b"a\tb\tscore\nx\ty\tfour\nx\ty\t1\n", PAIRS,
        "train.tsv:2, column score: score is not a finite number ('four')", "score is not a finite number",
    ),
    "boolean score": (
        "train.jsonl", b'{"a": "x", "b": "y", "score": true}\n{"a": "x", "b": "y", "score": 1}\n', PAIRS,
        "train.jsonl:1, column score: score is not a finite number (True)", "score is not a finite number",
    ),
    "missing score": (
        "train.tsv", b"a\tb\tscore\nx\ty\t\nx\ty\t1\n", PAIRS, "train.tsv:2, column score: missing label ('')",
        "missing label",
    ),
    "score out of range": (
        "train.tsv", b"a\tb\tscore\nx\ty\t5.5\nx\ty\t5\n", PAIRS,
        "train.tsv:2, column score: score out of range ('5.5' is not in 0 to 5)", "score out of range",
    ),
    "broken JSON": (
        "train.jsonl", b'{"text": "a", "label": "no"}\n{"text": "b", "label" "no"}\n', YES_NO,
        "train.jsonl:2, column 23: bad JSON line (Expecting ':' delimiter)", "bad JSON line",
    ),
    "JSON that is no object": (
        "train.jsonl", b'["a", "no"]\n{"text": "b", "label": "no"}\n', YES_NO,
        "train.jsonl:1, column 1: bad JSON line (['a', 'no'] is no object)", "bad JSON line",
    ),
    "missing field": (
        "train.jsonl", b'{"text": "a", "label": "no"}\n{"text": "b", "lable": "no"}\n', YES_NO,
        "train.jsonl:2, column label: missing field (the line has 'text', 'lable')", "missing field",
    ),
    "number for a text": (
        "train.jsonl", b'{"text": 5, "label": "no"}\n{"text": "b", "label": "no"}\n', YES_NO,
        "train.jsonl:1, column text: wrong type (5 where a text is expected)", "wrong type",
    ),
    "list for a label": (
        "train.jsonl", b'{"text": "a", "label": ["no"]}\n{"text": "b", "label": "no"}\n', YES_NO,
        "train.jsonl:1, column label: wrong type (['no'] where a label is expected)", "wrong type",
    ),
    "text after a closing quote": (
        "train.csv", b'text,label\na,no\n"b" c,yes\nd,yes\n', {},
        "train.csv:3, column text: broken quoting (',' expected after '\"'; is the file quoted at all?)",
        "broken quoting",
    ),
    "quote in the second cell": (
        "train.csv", b'text,label\na,no\n"b, ""b""","yes"x\nd,yes\n', {},
        "train.csv:3, column label: broken quoting (',' expected after '\"'; is the file quoted at all?)",
        "broken quoting",
    ),
    "quote never closed": (
        "train.csv", b'text,label\na,no\nd,yes\n"b,yes\nc,no\n', {},
        "train.csv:4, column text: broken quoting (a quoted value is never closed)", "broken quoting",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_named_or_counted(write: Write, read: Read, case: str) -> None:
    name, content, settings, message, reason = BAD_ROWS[case]
    write(name, content)
    with pytest.raises(UserError) as problem:
        read(name, **settings)
    assert str(problem.value) == (f"{message}; mend the file, or set tasks.toy.bad_rows to drop to leave bad rows out")
    dropped = read(name, **settings, bad_rows="drop")
    assert dropped.dropped == {reason: 1}
    assert [str(row) for row in dropped.bad_rows] == [message]
    assert len(dropped.splits["train"]) == len(dropped.splits["train"].ids) > 0


def test_the_first_bad_row_stands_for_all_splits(write: Write, read: Read) -> None:
    write("train.csv", "text,label\na,no\n,yes\nb,yes\nc,\n")
    write("test.csv", "text,label\na,no\nb,perhaps\n")
    with pytest.raises(UserError, match=r"^train.csv:3, column text: empty text \(''\), and 2 more bad rows; mend"):
        read(files={"test": "test.csv"})
    found = read(files={"test": "test.csv"}, bad_rows="drop")
    assert found.dropped == {"empty text": 1, "missing label": 1, "unknown label": 1}
    assert found.splits["train"].texts == ["a", "b"]


def test_only_the_first_dropped_rows_are_printed(write: Write, read: Read) -> None:
    write("train.csv", "text,label\na,no\nb,yes\n" + ",no\n" * 30)
    lines = bad_row_lines(read(bad_rows="drop").bad_rows)
    assert len(lines) == 21
    assert lines[0] == "dropped: train.csv:4, column text: empty text ('')"
    assert lines[-1] == "dropped: 10 more rows"


def test_long_values_are_cut(write: Write, read: Read) -> None:
    write("train.csv", "text,label\na,no\nb," + "x" * 300 + "\n")
    with pytest.raises(UserError) as problem:
        read(labels=["no", "yes"])
    assert len(str(problem.value)) < 250


def test_no_good_row_at_all(write: Write, read: Read) -> None:
    write("train.csv", "text,label\na,maybe\nb,maybe\n")
    with pytest.raises(UserError, match=r"train.csv:2, column label: unknown label .*no row of train.csv is good"):
        read(labels=["no", "yes"], bad_rows="drop")


def test_bad_rows_of_parquet(tmp_path: Path, read: Read) -> None:
    wrong = pa.array([b"a", b"caf\xe9", None, b"b"]).cast(pa.binary())
    text = pa.Array.from_buffers(pa.string(), 4, wrong.buffers())
    pq.write_table(pa.table({"text": text, "label": [True, True, False, False]}), tmp_path / "train.parquet")
    found = read("train.parquet", bad_rows="drop")
    assert [str(row) for row in found.bad_rows] == [
        "train.parquet:2, column text: not decodable (byte 0xe9 after 'caf' is not utf-8)",
        "train.parquet:3, column text: empty text (None)",
    ]
    assert found.labels == ["False", "True"]


# --- labels ----------------------------------------------------------------------------------------------------


def labels_of(write: Write, read: Read, values: list[Any], **settings: Any) -> tuple[list[str] | None, list[int]]:
    write("train.jsonl", "".join(json.dumps({"text": f"t{i}", "label": v}) + "\n" for i, v in enumerate(values)))
    found = read("train.jsonl", **settings)
    return found.labels, found.splits["train"].labels.tolist()


def test_labels_inferred(write: Write, read: Read) -> None:
    assert labels_of(write, read, ["b", " a", "b "]) == (["a", "b"], [1, 0, 1])
    assert labels_of(write, read, [True, False]) == (["False", "True"], [1, 0])
    assert labels_of(write, read, [2, 0, 1]) == (["0", "1", "2"], [2, 0, 1])


def test_labels_given(write: Write, read: Read) -> None:
    assert labels_of(write, read, ["b", "a"], labels=["b", "a"]) == (["b", "a"], [0, 1])
    by_value = {"1": "good", "0": "bad", "2": "good"}
    assert labels_of(write, read, [0, 1, 2], labels=by_value) == (["good", "bad"], [1, 0, 0])


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (["a", "a"], {}, r"fields.label: the training rows have one label only, 'a'"),
        ([f"id {i}" for i in range(1001)], {}, r"have 1001 different labels, more than 1000, such as 'id 0'"),
        (["a", "b"], {"labels": ["a"]}, r"tasks.toy.labels: 'a' is one class"),
        (["a", "b"], {"labels": {"a": "x", "b": "x"}}, r"tasks.toy.labels: 'x' is one class"),
        (["a", "b"], {"labels": ["a", "b", "a"]}, r"tasks.toy.labels: a label is listed twice"),
    ],
)
def test_labels_that_make_no_classification(
    write: Write, read: Read, values: list[Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        labels_of(write, read, values, **settings)


def test_training_rows_define_the_labels(write: Write, read: Read) -> None:
    write("train.csv", "text,label\na,no\nb,yes\n")
    write("test.csv", "text,label\na,yes\nb,maybe\n")
    with pytest.raises(UserError, match=r"test.csv:3, column label: unknown label \('maybe'"):
        read(files={"test": "test.csv"})


# --- types -----------------------------------------------------------------------------------------------------


def test_pair_regression(write: Write, read: Read) -> None:
    write("train.tsv", "a\tb\tscore\nx\ty\t0\nv\tw\t5.0\n")
    found = read("train.tsv", **PAIRS)
    train = found.splits["train"]
    assert (found.labels, train.texts, train.pairs) == (None, ["x", "v"], ["y", "w"])
    assert train.labels.dtype == "float64"
    assert train.labels.tolist() == [0.0, 5.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "pair_classification"}, r"tasks.toy.fields.text_pair is required by type pair_classification"),
        ({**PAIRS, "fields": {}}, r"tasks.toy.fields.text_pair is required by type pair_regression"),
        ({**PAIRS, "score_range": None}, r"tasks.toy.score_range is required by type pair_regression"),
        ({**PAIRS, "score_range": [5.0, 0.0]}, r"tasks.toy.score_range: 5.0 to 0.0 is no range"),
        ({**PAIRS, "labels": ["a", "b"]}, r"tasks.toy.labels goes with classification only"),
        ({"fields": {"text_pair": "b"}}, r"tasks.toy.fields.text_pair goes with pair_classification"),
    ],
)
def test_settings_that_contradict_the_type(write: Write, read: Read, settings: dict[str, Any], message: str) -> None:
    write("train.csv", "text,label\na,no\nb,yes\n")
    with pytest.raises(UserError, match=message):
        read(**settings)


def test_train_is_required(write: Write, tmp_path: Path) -> None:
    write("test.csv", "text,label\na,no\n")
    task = Task.model_validate({"type": "sequence_classification", "files": {"test": "test.csv"}})
    with pytest.raises(UserError, match=r"tasks.toy.files: train is required; it names 'test'"):
        read_task("toy", task, tmp_path)

"""Words, their labels and spans from tables; tags in every scheme; groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.canonical import Canonical

Read = Callable[..., Canonical]
Write = Callable[[str, str | bytes], Path]

POS: dict[str, Any] = {"type": "token_labelling"}
SPANS: dict[str, Any] = {"type": "span_pair_classification", "fields": {"span": "first", "span_pair": "second"}}


def json_lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def labels_of(read: Canonical, split: str = "train") -> list[str]:
    assert read.labels is not None
    return [read.labels[label] for label in read.splits[split].labels]


def test_words_of_tables(write: Write, read: Read, tmp_path: Path) -> None:
    words, labels = [["a", "b"], ["c"]], [["X", "Y"], ["X"]]
    write("train.tsv", "text\tlabel\na  b \tX Y\nc\tX\n")
    write("train.jsonl", json_lines(*({"text": w, "label": la} for w, la in zip(words, labels, strict=True))))
    pq.write_table(pa.table({"text": words, "label": labels}), tmp_path / "train.parquet")
    for name in ("train.tsv", "train.jsonl", "train.parquet"):
        found = read(name, **POS)
        assert found.splits["train"].words == words
        assert found.splits["train"].texts == ["a b", "c"]
        assert labels_of(found) == ["X", "Y", "X"]


def test_numbered_tags_of_parquet(read: Read, tmp_path: Path) -> None:
    table = pa.table({"tokens": [["EU", "x", "U", "N"], ["Bo"]], "ner_tags": [[3, 0, 3, 4], [1]]})
    pq.write_table(table, tmp_path / "train.parquet")
    labels = {"0": "O", "1": "B-PER", "2": "I-PER", "3": "B-ORG", "4": "I-ORG"}
    fields = {"text": "tokens", "label": "ner_tags"}
    found = read("train.parquet", **POS, labels=labels, tags="bio", fields=fields)
    assert found.labels == ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
    assert labels_of(found) == ["B-ORG", "O", "B-ORG", "I-ORG", "B-PER"]
    found = read("train.parquet", **POS, labels=labels, tags="bioes", fields=fields)
    assert found.labels == ["O", *(f"{prefix}-{kind}" for kind in ("PER", "ORG") for prefix in "BIES")]
    assert labels_of(found) == ["S-ORG", "O", "B-ORG", "E-ORG", "S-PER"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "a b", "label": "X"}, "column label: wrong number of labels (1 for 2 words)"),
        ({"text": ["a b"], "label": "X Y"}, "column label: wrong number of labels (2 for 1 words)"),
        ({"text": "a", "label": ""}, "column label: missing label ('')"),
        ({"text": "a", "label": None}, "column label: missing label (None)"),
        ({"text": "a b", "label": ["X", None]}, "column label: missing label (None)"),
        ({"text": "a b", "label": ["X", ["Y"]]}, "column label: wrong type (['Y'] where a label is expected)"),
        ({"text": "a", "label": 3}, "column label: wrong type (3 where a label for each word is expected)"),
        ({"text": "  ", "label": "X"}, "column text: empty text ('  ')"),
        ({"text": [], "label": []}, "column text: empty text ([])"),
        ({"text": None, "label": "X"}, "column text: empty text (None)"),
        ({"text": ["a", ""], "label": "X Y"}, "column text: empty text ('' for word 2)"),
        ({"text": ["a", 5], "label": "X Y"}, "column text: wrong type (5 where word 2 is expected)"),
        ({"text": 5, "label": "X"}, "column text: wrong type (5 where words are expected)"),
        (
            {"text": ["a", "\ud83d"], "label": "X Y"},
            "column text: not decodable (half a character, U+D83D is not utf-8)",
        ),
    ],
)
def test_bad_rows_of_words(write: Write, read: Read, row: dict[str, Any], message: str) -> None:
    write("train.jsonl", json_lines({"text": "a b", "label": "X Y"}, row))
    found = read("train.jsonl", **POS, bad_rows="drop")
    assert [str(bad) for bad in found.bad_rows] == [f"train.jsonl:2, {message}"]
    assert labels_of(found) == ["X", "Y"]


def test_blank_words_are_kept_unless_empty(write: Write, read: Read) -> None:
    write("train.jsonl", json_lines({"text": ["a b", "\u00a0", "\x07"], "label": "X Y X"}))
    found = read("train.jsonl", **POS)
    assert found.splits["train"].words == [["a_b", "_", "\x07"]]
    assert found.mended["train"]["words_with_white_space"] == 2


# --- classes -----------------------------------------------------------------------------------------------------


def test_labels_that_only_other_splits_have_become_classes(write: Write, read: Read) -> None:
    write("train.tsv", "text\tlabel\na b\tX Y\n")
    write("validation.tsv", "text\tlabel\na\tZ\n")
    write("test.tsv", "text\tlabel\na\tA\n")
    found = read("train.tsv", **POS, files={"validation": "validation.tsv", "test": "test.tsv"})
    assert found.labels == ["X", "Y", "A", "Z"]
    assert labels_of(found, "validation") == ["Z"]
    with pytest.raises(UserError, match=r"validation.tsv:2, column label: unknown label \('Z'; known are 'X', 'Y'\)"):
        read("train.tsv", **POS, files={"validation": "validation.tsv"}, labels=["X", "Y"])


def test_types_of_spans_that_only_other_splits_have_become_classes(write: Write, read: Read) -> None:
    write("train.tsv", "text\tlabel\na b c\tI-PER O I-LOC\n")
    write("test.tsv", "text\tlabel\na b\tS-ART I-LOC\n")
    found = read("train.tsv", **POS, tags="bio", files={"test": "test.tsv"})
    assert found.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-ART", "I-ART"]
    assert labels_of(found) == ["B-PER", "O", "B-LOC"]
    assert labels_of(found, "test") == ["B-ART", "B-LOC"]
    assert {split: counts["starts_with_I"] for split, counts in found.mended.items()} == {"train": 2, "test": 1}


@pytest.mark.parametrize("wrong", ["PER", "X-PER", "B", "B-"])
def test_labels_that_are_no_tags(write: Write, read: Read, wrong: str) -> None:
    write("train.conll", f"a O\nb B-X\nc {wrong}\n")
    message = rf"^train.conll:3, column label: unknown label \('{wrong}'; tags are O, or B-, I-, E- or S- and a type\)"
    with pytest.raises(UserError, match=message):
        read("train.conll", **POS, tags="bio", columns=["text", "label"])
    with pytest.raises(UserError, match=rf"^tasks.toy.labels: '{wrong}' is no tag"):
        read("train.conll", **POS, tags="bio", columns=["text", "label"], labels=["O", wrong])


def test_no_span_at_all(write: Write, read: Read) -> None:
    write("train.tsv", "text\tlabel\na b\tO O\n")
    with pytest.raises(UserError, match="the training rows have one label only, 'O'"):
        read("train.tsv", **POS, tags="bio")


# --- spans -------------------------------------------------------------------------------------------------------


def test_spans_of_tables(write: Write, read: Read) -> None:
    write(
        "train.jsonl",
        json_lines(
            {"text": "a b c", "first": "0 1", "second": "1 3", "label": "x"},
            {"text": ["a", "b"], "first": [1, 2], "second": [0, 1], "label": "y"},
        ),
    )
    spans = read("train.jsonl", **SPANS).splits["train"].spans
    assert spans is not None
    assert spans.tolist() == [[[0, 1], [1, 3]], [[1, 2], [0, 1]]]
    alone = read("train.jsonl", type="span_pair_classification", fields={"span": "first"}).splits["train"].spans
    assert alone is not None
    assert alone.tolist() == [[[0, 1], [-1, -1]], [[1, 2], [-1, -1]]]


@pytest.mark.parametrize(
    ("span", "detail"),
    [
        ("0 4", "'0 4' in a text of 3 words"),
        ("2 2", "'2 2' in a text of 3 words"),
        ("-1 2", "'-1 2' in a text of 3 words"),
        ("a b", "'a b' in a text of 3 words"),
        ([0.0, 1], "[0.0, 1] in a text of 3 words"),
        ([True, 2], "[True, 2] in a text of 3 words"),
        ("1", "'1' where start and end are expected"),
        ("", "'' where start and end are expected"),
        ("0 1 2", "'0 1 2' where start and end are expected"),
        (None, "None where start and end are expected"),
        (3, "3 where start and end are expected"),
    ],
)
def test_bad_spans(write: Write, read: Read, span: Any, detail: str) -> None:
    good = {"text": "a b c", "first": "0 1", "second": "1 3"}
    write(
        "train.jsonl",
        json_lines({**good, "label": "x"}, {**good, "second": span, "label": "x"}, {**good, "label": "y"}),
    )
    found = read("train.jsonl", **SPANS, bad_rows="drop")
    assert [str(bad) for bad in found.bad_rows] == [f"train.jsonl:2, column second: wrong span ({detail})"]
    assert len(found.splits["train"]) == 2


# --- groups ------------------------------------------------------------------------------------------------------


def test_groups(write: Write, read: Read) -> None:
    write("train.tsv", "text\tlabel\tgenre\na\tx\tnews\nb\ty\t fiction\nc\tx\t\n")
    found = read("train.tsv", fields={"group": "genre"}, bad_rows="drop")
    assert found.splits["train"].groups == ["news", "fiction"]
    assert [str(bad) for bad in found.bad_rows] == ["train.tsv:4, column genre: missing group ('')"]
    with pytest.raises(UserError, match=r"^tasks.toy.fields.group: train.tsv has no column 'gnre'; .* did you mean"):
        read("train.tsv", fields={"group": "gnre"})


def test_groups_of_sentences(write: Write, read: Read) -> None:
    write("train.conll", "a X news\nb Y news\n\nc X fiction\n\nd X news\ne X fiction\n")
    settings: dict[str, Any] = {"columns": ["text", "label", "genre"], "fields": {"group": "genre"}}
    found = read("train.conll", **POS, **settings, bad_rows="drop")
    assert found.splits["train"].groups == ["news", "fiction"]
    assert [str(bad) for bad in found.bad_rows] == [
        "train.conll:6, column genre: wrong type ('news', 'fiction' where one group is expected)"
    ]
    assert (
        len(
            read(
                "train.conll", **POS, **(settings | {"fields": {}}), where={"genre": "news"}, labels=["X", "Y"]
            ).splits["train"]
        )
        == 1
    )


# --- what does not go together -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "settings", "message"),
    [
        ("train.tsv", {"fields": {"span": "a"}}, r"tasks.toy.fields.span goes with span_pair_classification only"),
        ("train.tsv", {"tags": "bio"}, r"tasks.toy.tags goes with token_labelling only, not sequence_classification"),
        (
            "train.tsv",
            {"type": "span_pair_classification", "fields": {"span_pair": "a"}},
            r"span_pair needs fields.span",
        ),
        (
            "train.tsv",
            {"type": "span_pair_classification"},
            r"tasks.toy.fields.span is needed by format tsv of train.tsv",
        ),
        (
            "train.conllu",
            {"type": "span_pair_classification", "fields": {"span": "id"}},
            r"fields.span: the arcs of train.conllu \(conllu\) are the spans",
        ),
        ("train.conllu", {}, r"tasks.toy.type needs whole texts, which train.conllu \(format conllu\) does not have"),
        ("train.conll", {}, r"tasks.toy.type needs whole texts, which train.conll \(format conll\) does not have"),
        (
            "folder",
            {"type": "token_labelling"},
            r"tasks.toy.type needs words with a label each, which folder \(format folders\)",
        ),
    ],
)
def test_what_does_not_go_together(
    write: Write, read: Read, train: str, settings: dict[str, Any], message: str
) -> None:
    for name in ("train.tsv", "train.conllu", "train.conll", "folder/x/a.txt"):
        write(name, "text\tlabel\na\tx\n")
    with pytest.raises(UserError, match=message):
        read(train, **settings)

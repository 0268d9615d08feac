"""The readers on real files: every classification and regression set that our formats cover, against the manifest."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas.settings import Task
from transfer_atlas.tasks import canonical
from transfer_atlas.tasks.readers import read_rows
from transfer_atlas.tasks.rows import RawRow
from transfer_atlas.tasks.sources import Layout, find_sources

DATA = Path(__file__).parents[3] / "shared" / "data"
MANIFEST = DATA / "MANIFEST.csv"
COVERED = ("single sentence cls", "pair cls", "pair regression", "single sentence regression")

# The manifest names no columns for these.
COLUMNS = {
    "amazon_de_pattern": ["label", "text"],
    "amazon_fr_pattern": ["text", "label"],
    "bol_nl_pattern": ["label", "text"],
}

# Rows whose text really is empty in the original files.
EMPTY_TEXTS = {"tweeteval_hate/train.tsv.gz": 7, "tweeteval_hate/validation.tsv": 1, "chnsenticorp_hotel/all.csv.gz": 1}


def _entries() -> list[dict[str, str]]:
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(encoding="utf-8", newline="") as stream:
        return [
            row
            for row in csv.DictReader(stream)
            if row["reader"] in ("table", "jsonl") and row["task"].startswith(COVERED)
        ]


ENTRIES = _entries()
needs_data = pytest.mark.skipif(not ENTRIES, reason="../shared/data is absent")


def _settings(entry: dict[str, str]) -> dict[str, Any]:
    columns = COLUMNS.get(entry["dataset"]) or entry["columns"].split("|")
    extra = columns[-1].startswith("(")
    columns = columns[:-1] if extra else columns
    is_json = entry["reader"] == "jsonl"
    pair = entry["task"].startswith("pair")
    texts = ["text"] if entry["dataset"] in COLUMNS else entry["text_columns"].split("|")
    label = "label" if entry["dataset"] in COLUMNS else entry["label_column"].split(" ")[0]
    type_ = (
        "pair_regression" if entry["task"] == "pair regression" else f"{'pair' if pair else 'sequence'}_classification"
    )
    return {
        "type": type_,
        "files": {"train": entry["file"]},
        "format": "jsonl" if is_json else {"TAB": "tsv", "COMMA": "csv"}[entry["sep"]],
        "quoting": None if is_json else entry["quoting"] == "csv",
        "header": is_json or entry["header"] == "1",
        "columns": None if is_json or entry["header"] == "1" else columns,
        "extra_columns": extra,
        "fields": {"text": texts[0], "text_pair": texts[1] if pair else None, "label": label or "label"},
        "bad_rows": "drop",
        "score_range": [0.0, 5.0] if type_ == "pair_regression" else None,
    }


@needs_data
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["file"])
def test_rows_and_labels_are_those_of_the_manifest(entry: dict[str, str]) -> None:
    settings = _settings(entry)
    task = Task.model_validate(settings)
    if "UNLABELLED" in entry["labels"] or "regression" in entry["task"].removeprefix("pair "):
        layout = Layout(
            task="shared",
            content="texts",
            text=task.fields.text,
            label=task.fields.label,
            needed={task.fields.text: "fields.text"},
            **task.model_dump(include={"format", "quoting", "header", "columns", "extra_columns", "encoding"}),
        )
        (source,) = find_sources(entry["file"], DATA, "files")
        rows = list(read_rows(source, layout, Counter()))
        assert [row for row in rows if not isinstance(row, RawRow)] == []
        assert len(rows) == int(entry["rows"])
        return
    read = canonical.read_task("shared", task, DATA)
    empty = EMPTY_TEXTS.get(entry["file"], 0)
    assert read.dropped == ({"empty text": empty} if empty else {})
    assert len(read.splits["train"]) == int(entry["rows"]) - empty
    assert len(set(read.splits["train"].ids)) == int(entry["rows"]) - empty
    stated = {label: int(count) for label, count in re.findall(r"([^;= ]+)=(\d+)(?:; |$)", entry["labels"])}
    if read.labels is not None and stated.keys() == set(read.labels):
        counts = Counter(read.labels[index] for index in read.splits["train"].labels)
        assert sum((Counter(stated) - counts).values()) == empty


SENTENCES = {
    "ud_en_atis/train.conllu.gz": {},
    "ud_en_atis/validation.conllu.gz": {},
    "ud_en_pud/test.conllu.gz": {},
    "ud_de_pud/test.conllu.gz": {},
    "ud_en_ewt/test.conllu.gz": {},
    "wikigold/all.conll": {"columns": ["text", "label"]},
}


@needs_data
@pytest.mark.parametrize("file", SENTENCES)
def test_words_and_their_labels_are_those_of_the_manifest(file: str) -> None:
    with MANIFEST.open(encoding="utf-8", newline="") as stream:
        entry = next(row for row in csv.DictReader(stream) if row["file"] == file)
    values: dict[str, Any] = {"type": "token_labelling", "files": {"train": file}, **SENTENCES[file]}
    read = canonical.read_task("shared", Task.model_validate(values), DATA)
    train = read.splits["train"]
    assert len(train) == int(entry["rows"])
    stated = re.match(r"(\d+) token", entry["labels"])
    assert stated is not None and read.labels is not None
    # The manifest counts lines; those of multiword tokens and empty nodes are no words.
    skipped = read.skipped["train"]
    assert len(train.labels) == int(stated[1]) - skipped["multiword tokens"] - skipped["empty nodes"]
    if file.endswith(".gz"):
        assert f"{len(read.labels)} UPOS" in entry["labels"]
        arcs = canonical.read_task("shared", Task.model_validate(values | {"type": "span_pair_classification"}), DATA)
        assert len(arcs.splits["train"]) == len(train.labels) - len(train)
    else:
        counts = Counter(read.labels[label] for label in train.labels)
        assert "; ".join(f"{label}={count}" for label, count in counts.most_common()) in entry["labels"]

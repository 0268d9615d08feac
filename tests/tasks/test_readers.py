"""Every format in, the same rows out; and messages that name the place."""

from __future__ import annotations

import gzip
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

TEXTS = ["plain", "a, comma", 'a "quoted" word', "two\nlines", "\u2028 and \x85 end no line", "größer 好 🎉"]
LABELS = ["no", "yes", "no", "yes", "no", "yes"]


def quoted(separator: str, end: str = "\n") -> str:
    cells = [f'"{text.replace(chr(34), chr(34) * 2)}"' for text in TEXTS]
    lines = [f"text{separator}label"] + [f"{cell}{separator}{label}" for cell, label in zip(cells, LABELS, strict=True)]
    return "".join(line + end for line in lines)


def json_lines() -> str:
    rows = zip(TEXTS, LABELS, strict=True)
    return "".join(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in rows)


def check(read: Canonical, texts: list[str] = TEXTS, labels: list[str] = LABELS) -> None:
    train = read.splits["train"]
    assert train.texts == texts
    assert read.labels == ["no", "yes"]
    assert [read.labels[index] for index in train.labels] == labels


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("train.csv", quoted(","), {}),
        ("train.csv", quoted(",", "\r\n"), {}),
        ("train.tsv", quoted("\t"), {"quoting": True}),
        ("train.data", quoted("\t"), {"format": "tsv", "quoting": True}),
        ("train.jsonl", json_lines(), {}),
    ],
    ids=["csv", "csv with crlf", "quoted tsv", "named format", "jsonl"],
)
def test_text_formats(
    write: Write, read: Read, name: str, content: str, settings: dict[str, Any], packed: bool
) -> None:
    data = content.encode()
    write(name + ".gz" if packed else name, gzip.compress(data) if packed else data)
    check(read(name + ".gz" if packed else name, **settings))


def test_tsv_is_not_quoted_by_default(write: Write, read: Read) -> None:
    write("train.tsv", 'text\tlabel\n"half a quote\tno\nfive " inches\tyes\r\n\n')
    check(read("train.tsv"), ['"half a quote', 'five " inches'], ["no", "yes"])


def test_byte_order_mark(write: Write, read: Read) -> None:
    write("train.csv", "\ufefftext,label\na,no\nb,yes\n".encode())
    check(read(), ["a", "b"], ["no", "yes"])


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "gb18030", "utf-8-sig"])
def test_other_encodings(write: Write, read: Read, encoding: str) -> None:
    write("train.csv", "text,label\ngrün,no\nblau,yes\n".encode(encoding))
    check(read(encoding=encoding), ["grün", "blau"], ["no", "yes"])


def test_no_header_and_extra_columns(write: Write, read: Read) -> None:
    write("train.tsv", "no\ta\nyes\tb\tlicence\nno\tc\t\t\n")
    settings: dict[str, Any] = {"header": False, "columns": ["label", "text"]}
    check(read("train.tsv", **settings, extra_columns=True), ["a", "b", "c"], ["no", "yes", "no"])
    with pytest.raises(UserError, match=r"train.tsv:2, column 3: wrong number of columns \(3 where 2 are expected\)"):
        read("train.tsv", **settings)


def test_parquet(tmp_path: Path, read: Read) -> None:
    label = pa.array(LABELS).dictionary_encode()
    pq.write_table(pa.table({"text": TEXTS, "label": label, "other": range(6)}), tmp_path / "train.parquet")
    check(read("train.parquet"))


def test_folders(write: Write, read: Read) -> None:
    write("data/yes/b.txt", "second\nline\r\n")
    write("data/yes/a.txt.gz", gzip.compress(b"first"))
    write("data/no/deep/c.txt", "third")
    write("data/no/.hidden", "nothing")
    write("data/README", "no class")
    found = read("data/")
    check(found, ["third", "first", "second\nline\r\n"], ["no", "yes", "yes"])
    assert found.splits["train"].ids[0] == "train-data/no/deep/c.txt:1"


def test_several_files_and_ids_without_their_place(write: Write, read: Read) -> None:
    write("here/one.csv", "text,label\na,no\n")
    write("here/two.jsonl", '{"label": "yes", "text": "b"}\n')
    found = read(["here/one.csv", "here/two.jsonl"])
    check(found, ["a", "b"], ["no", "yes"])
    assert found.splits["train"].ids == ["train-one.csv:2", "train-two.jsonl:1"]


def test_the_number_of_a_row_is_its_first_line(write: Write, read: Read) -> None:
    write("train.csv", 'text,label\n"one\ntwo\n\nfour",no\n\nsix,yes\n')
    assert read().splits["train"].ids == ["train-train.csv:2", "train-train.csv:7"]


@pytest.mark.parametrize(
    ("train", "settings", "message"),
    [
        ("trian.csv", {}, r"tasks.toy.files.train: there is no trian.csv in .*; did you mean 'train.csv'\?"),
        (["train.csv", "./train.csv"], {}, r"train.csv is listed twice"),
        ([], {}, r"files.train: the list of files is empty"),
        (
            "train.csv",
            {"fields": {"text": "txet"}},
            r"tasks.toy.fields.text: train.csv has no column 'txet'; it has 'text', .*; did you mean 'text'\?",
        ),
        ("train.csv", {"fields": {"label": "class"}}, r"fields.label: train.csv has no column 'class'"),
        ("train.csv", {"where": {"source": "x"}}, r"tasks.toy.where: train.csv has no column 'source'"),
        ("train.csv", {"where": {"n": 3}}, r"where: no row of train.csv has n '3'; it has '1', '2'"),
        ("train.csv", {"header": False}, r"tasks.toy.columns is needed where header is false"),
        ("train.csv", {"columns": ["a"]}, r"tasks.toy.columns .* set header to false"),
        (
            "train.csv",
            {"encoding": "utf8x"},
            r"tasks.toy.encoding: there is no encoding 'utf8x'; did you mean 'utf-8'\?",
        ),
        ("train.csv", {"encoding": "utf-16"}, r"train.csv is not utf-16 .* set tasks.toy.encoding"),
        ("train.csv", {"format": "parquet"}, r"train.csv cannot be read as parquet .* see tasks.toy.format"),
        ("train.csv", {"format": "folders"}, r"train.csv is a file, which does not go with format folders"),
        ("empty.csv", {}, r"empty.csv is empty"),
        ("bare.csv", {}, r"tasks.toy.files.train: bare.csv has no rows"),
        ("twice.csv", {}, r"twice.csv has 2 columns called 'text'"),
        ("data.txt", {}, r"tasks.toy.format: data.txt ends in none of .csv, .tsv, .jsonl, .parquet"),
        ("damaged.csv.gz", {}, r"damaged.csv.gz is damaged .*; fetch it again"),
        ("not.csv.gz", {}, r"not.csv.gz is damaged .*; fetch it again"),
        ("rows.jsonl", {"fields": {"label": "lable"}}, r"fields.label: rows.jsonl has no column 'lable'; .*'label'\?"),
        ("flat", {"format": "csv"}, r"flat is a folder, which does not go with format csv"),
        ("flat", {}, r"flat has no sub-folders"),
        ("wrong_header.csv", {}, r"wrong_header.csv:1 is not utf-8 \(byte 0xfc after 'gr'\); set tasks.toy.encoding"),
    ],
)
def test_what_stops_at_once(write: Write, read: Read, train: Any, settings: dict[str, Any], message: str) -> None:
    write("train.csv", "text,label,n\na,no,1\nb,yes,2\n")
    write("empty.csv", "")
    write("bare.csv", "text,label\n")
    write("twice.csv", "text,text,label\na,b,no\n")
    write("data.txt", "a")
    write("damaged.csv.gz", gzip.compress(quoted(",").encode() * 50)[:-30])
    write("not.csv.gz", "text,label\n")
    write("rows.jsonl", json_lines())
    write("flat/a.txt", "a")
    write("wrong_header.csv", b"text,label,gr\xfcn\na,no,1\n")
    with pytest.raises(UserError, match=message) as problem:
        read(train, **settings)
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize(
    ("wanted", "kept"), [("b", []), (1, ["x", "y"]), (1.0, ["x", "y"]), ("1", ["x"]), (True, ["z", "w"])]
)
def test_where(write: Write, read: Read, wanted: Any, kept: list[str]) -> None:
    rows = [
        ("x", 1, "no"),
        ("y", 1.0, "yes"),
        ("z", True, "no"),
        ("w", "true", "yes"),
        ("v", None, "no"),
        ("u", "1_0", "no"),
    ]
    content = "".join(json.dumps({"text": text, "n": n, "label": label}) + "\n" for text, n, label in rows)
    write("train.jsonl", content)
    settings = {"where": {"n": wanted}, "labels": ["no", "yes"]}
    if kept:
        assert read("train.jsonl", **settings).splits["train"].texts == kept
    else:
        with pytest.raises(UserError, match=r"no row of train.jsonl has n 'b'"):
            read("train.jsonl", **settings)

"""Sentences in columns: what is read, what is passed over, and what makes a whole sentence bad."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.tasks.canonical import Canonical
from transfer_atlas.tasks.examples import Examples

Read = Callable[..., Canonical]
Write = Callable[[str, str | bytes], Path]

CONLL: dict[str, Any] = {"type": "token_labelling", "columns": ["text", "pos", "label"]}
NER = """-DOCSTART- -X- O

EU NNP B-ORG
rejects VBZ O
\t
German  JJ\tB-MISC
calls NNS O\r

-DOCSTART- -X- O
Peter NNP B-PER
"""

CONLLU = """# newdoc id = a
# sent_id = 1
1-2\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
1\tdo\tdo\tAUX\tVBP\t_\t3\taux\t_\t_
2\tn't\tnot\tPART\tRB\t_\t3\tadvmod\t_\t_
3\tgo\tgo\tVERB\tVB\t_\t0\troot\t_\t_
3.1\tgone\tgo\tVERB\tVB\t_\t_\t_\t_\t_

# sent_id = 2
1\tOh\toh\tINTJ\tUH\t_\t2\tdiscourse:x\t_\t_
2\tyes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
3\t!\t!\tPUNCT\t.\t_\t2\t_\t_\t_
"""


def word(number: int, form: str, head: int = 0, *, upos: str = "X", deprel: str = "dep", misc: str = "_") -> str:
    return "\t".join([str(number), form, form, upos, "_", "_", str(head), deprel, "_", misc])


def train_of(read: Canonical) -> Examples:
    return read.splits["train"]


def labels_of(read: Canonical) -> list[str]:
    assert read.labels is not None
    return [read.labels[label] for label in train_of(read).labels]


@pytest.mark.parametrize("name", ["train.conll", "train.iob", "train.bio.gz", "train.txt"])
def test_conll(write: Write, read: Read, name: str) -> None:
    write(name, gzip.compress(NER.encode()) if name.endswith(".gz") else NER)
    found = read(name, **CONLL, format="conll" if name.endswith(".txt") else None)
    train = train_of(found)
    assert train.words == [["EU", "rejects"], ["German", "calls"], ["Peter"]]
    assert train.texts == ["EU rejects", "German calls", "Peter"]
    assert train.ids == [f"train-{name}:{line}" for line in (3, 6, 10)]
    assert labels_of(found) == ["B-ORG", "O", "B-MISC", "O", "B-PER"]
    assert found.skipped["train"] == {"document marks": 2}


def test_conll_columns(write: Write, read: Read) -> None:
    write("train.conll", NER.replace(" O\n", " O more\n"))
    found = read("train.conll", **CONLL, extra_columns=True, fields={"label": "pos"})
    assert labels_of(found) == ["NNP", "VBZ", "JJ", "NNS", "NNP"]
    with pytest.raises(
        UserError, match=r"^train.conll:4, column 4: wrong number of columns \(4 where 3 are expected\)"
    ):
        read("train.conll", **CONLL)
    with pytest.raises(UserError, match=r"^tasks.toy.columns is needed by format conll: name the columns in order$"):
        read("train.conll", type="token_labelling")


@pytest.mark.parametrize(
    ("broken", "message", "reason"),
    [
        (
            b"rejects VBZ",
            "train.conll:4, column label: wrong number of columns (2 where 3 are expected)",
            "wrong number of columns",
        ),
        (
            b"rejects VBZ O O",
            "train.conll:4, column 4: wrong number of columns (4 where 3 are expected)",
            "wrong number of columns",
        ),
        (
            b"rejects",
            "train.conll:4, column pos: wrong number of columns (1 where 3 are expected)",
            "wrong number of columns",
        ),
        (
            b"rej\xe9cts VBZ O",
            "train.conll:4, column text: not decodable (byte 0xe9 after 'rej' is not utf-8)",
            "not decodable",
        ),
        (b"rejects VBZ \xe9", "train.conll:4, column label: not decodable (byte 0xe9 is not utf-8)", "not decodable"),
    ],
)
def test_a_broken_line_makes_its_sentence_bad(
    write: Write, read: Read, broken: bytes, message: str, reason: str
) -> None:
    write("train.conll", NER.encode().replace(b"rejects VBZ O", broken))
    with pytest.raises(UserError) as problem:
        read("train.conll", **CONLL)
    assert str(problem.value) == f"{message}; mend the file, or set tasks.toy.bad_rows to drop to leave bad rows out"
    found = read("train.conll", **CONLL, bad_rows="drop")
    assert found.dropped == {reason: 1}
    assert train_of(found).words == [["German", "calls"], ["Peter"]]
    assert labels_of(found) == ["B-MISC", "O", "B-PER"]


def test_bytes_in_columns_that_nobody_reads_are_no_matter(write: Write, read: Read) -> None:
    write("train.conll", NER.encode().replace(b"VBZ", b"\xe9"))
    assert len(train_of(read("train.conll", **CONLL))) == 3


@pytest.mark.parametrize(
    ("settings", "labels"),
    [
        ({}, ["AUX", "PART", "VERB", "INTJ", "INTJ", "PUNCT"]),
        ({"fields": {"text": "lemma", "label": "xpos"}}, ["VBP", "RB", "VB", "UH", "UH", "."]),
    ],
)
def test_conllu(write: Write, read: Read, settings: dict[str, Any], labels: list[str]) -> None:
    write("train.conllu", CONLLU)
    found = read("train.conllu", type="token_labelling", **settings)
    words = [["do", "not", "go"], ["oh", "yes", "!"]] if settings else [["do", "n't", "go"], ["Oh", "yes", "!"]]
    assert train_of(found).words == words
    assert labels_of(found) == labels
    assert train_of(found).ids == ["train-train.conllu:1", "train-train.conllu:9"]
    assert found.skipped["train"] == {"comments": 3, "multiword tokens": 1, "empty nodes": 1}


def test_arcs(write: Write, read: Read) -> None:
    write("train.conllu", CONLLU)
    found = read("train.conllu", type="span_pair_classification")
    train = train_of(found)
    assert train.ids == ["train-train.conllu:1.1", "train-train.conllu:1.2", "train-train.conllu:9.1"]
    assert train.texts == ["do n't go", "do n't go", "Oh yes !"]
    assert train.spans is not None
    assert train.spans.tolist() == [[[0, 1], [2, 3]], [[1, 2], [2, 3]], [[0, 1], [1, 2]]]
    assert labels_of(found) == ["aux", "advmod", "discourse:x"]
    assert found.skipped["train"]["roots"] == 2
    assert found.skipped["train"]["arcs without label"] == 1


def test_arcs_are_chosen_by_columns_of_the_dependent(write: Write, read: Read) -> None:
    write("train.conllu", CONLLU)
    found = read("train.conllu", type="span_pair_classification", where={"head": 3}, fields={"label": "upos"})
    assert train_of(found).ids == ["train-train.conllu:1.1", "train-train.conllu:1.2"]
    assert labels_of(found) == ["AUX", "PART"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([word(1, "a"), word(3, "b", 1)], "train.conllu:2, column id: wrong word number ('3' where 2 is expected)"),
        ([word(1, "a"), word(1, "b", 1)], "train.conllu:2, column id: wrong word number ('1' where 2 is expected)"),
        ([word(2, "a")], "train.conllu:1, column id: wrong word number ('2' where 1 is expected)"),
        ([word(1, "a"), "2 b"], "train.conllu:2, column form: wrong number of columns (1 where 10 are expected)"),
        (
            [word(1, "a"), word(2, "b", 1) + "\tx"],
            "train.conllu:2, column 11: wrong number of columns (11 where 10 are expected)",
        ),
        ([word(1, "a"), word(2, "", 1)], "train.conllu:2, column text: empty text ('')"),
        (
            [word(1, "a"), word(2, "b", 3)],
            "train.conllu:2, column head: wrong head ('3' is no other word of a sentence of 2)",
        ),
        (
            [word(1, "a"), word(2, "b", 2)],
            "train.conllu:2, column head: wrong head ('2' is no other word of a sentence of 2)",
        ),
        (
            [word(1, "a"), word(2, "b", -1)],
            "train.conllu:2, column head: wrong head ('-1' is no other word of a sentence of 2)",
        ),
        ([word(1, "a"), word(2, "b", 1, deprel="")], "train.conllu:2, column label: missing label ('')"),
    ],
)
def test_broken_arcs(write: Write, read: Read, lines: list[str], message: str) -> None:
    sound = [word(1, "a"), word(2, "b", 1, deprel="x"), word(3, "c", 1, deprel="y")]
    write("train.conllu", "\n".join([*lines, "", *sound]))
    found = read("train.conllu", type="span_pair_classification", bad_rows="drop")
    assert [str(row) for row in found.bad_rows] == [message]
    assert train_of(found).ids == [f"train-train.conllu:{len(lines) + 2}.{k}" for k in (2, 3)]


def test_more_columns_than_ten(write: Write, read: Read) -> None:
    columns = ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc", "sense"]
    write("train.conllu", f"{word(1, 'a')}\tp.Time\n{word(2, 'b', 1)}\t_\n\n{word(1, 'b')}\tp.Locus")
    found = read("train.conllu", type="token_labelling", columns=columns, fields={"label": "sense"})
    assert labels_of(found) == ["p.Time", "_", "p.Locus"]
    assert (
        len(
            train_of(
                read(
                    "train.conllu", type="token_labelling", columns=columns[:10], extra_columns=True, labels=["X", "Y"]
                )
            )
        )
        == 2
    )
    with pytest.raises(UserError, match=r"^tasks.toy.columns: those of conllu begin with 'id', 'form', "):
        read(
            "train.conllu", type="token_labelling", columns=["form", "sense"], fields={"text": "form", "label": "sense"}
        )


ODD = [
    "e\u0301te\u0301",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u200b",
    "soft\u00adhyphen",
    "\u202b\u05e9\u05dc\u05d5\u05dd\u202c",
    "\ufeff",
    "\x07",
    "\x85x",
    "10\u00a0000",
    "\u3000",
    "\u2028",
    "#",
    "-",
    "_",
    "\x1f",
]


@pytest.mark.parametrize("kind", ["conll", "conllu"])
def test_odd_words_survive(write: Write, read: Read, kind: str) -> None:
    """White space within a word becomes _, and is counted; nothing else changes, and nothing gets lost."""
    lines = [word(k, form, upos="AB"[k % 2]) for k, form in enumerate(ODD, 1)]
    if kind == "conll":
        lines = [f"{form} x {'AB'[k % 2]}" for k, form in enumerate(ODD, 1)]
    write(f"train.{kind}", "\n".join(lines))
    found = read(f"train.{kind}", **(CONLL if kind == "conll" else {"type": "token_labelling"}))
    changed = {"\x85x": "_x", "10\u00a0000": "10_000", "\u3000": "_", "\u2028": "_", "\x1f": "_"}
    assert train_of(found).words == [[changed.get(form, form) for form in ODD]]
    assert train_of(found).texts[0].split() == train_of(found).texts[0].split(" ") == train_of(found).words[0]  # type: ignore[index]
    assert labels_of(found) == ["AB"[k % 2] for k in range(1, len(ODD) + 1)]
    assert found.mended["train"]["words_with_white_space"] == 5

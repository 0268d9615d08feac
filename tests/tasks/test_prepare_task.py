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


# --- words ---------------------------------------------------------------------------------------------------------


def conllu(n_sentences: int) -> str:
    """Sentences of a head with two dependents, of which every fifth is the same."""
    lines = []
    for i in range(n_sentences):
        for place, (form, head) in enumerate([(f"w{i if i % 5 else 0}", 2), ("saw", 0), ("me", 2)], 1):
            deprel = "root" if head == 0 else f"d{place}"
            lines.append(f"{place}\t{form}\t_\tP{place}\t_\t_\t{head}\t{deprel}\t_\t_")
        lines.append("")
    return "# sent_id = 1\n" + "\n".join(lines)


def test_arcs_of_a_sentence_stay_together(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("train.conllu", conllu(50))
    stats = prepare(
        tmp_path,
        tmp_path / "out",
        type="span_pair_classification",
        files={"train": "train.conllu"},
        carve={"validation": 12, "test": 0.2},
    )
    assert sum(stats["rows"].values()) == 100
    assert stats["rows"]["validation"] in (12, 30)
    splits = {split: read_split(tmp_path / "out", split) for split in SPLITS}
    texts = [set(examples.texts) for examples in splits.values()]
    assert len(set.union(*texts)) == sum(map(len, texts)) == 41
    assert stats["overlap"] == {"test_in_train": 0, "test_in_validation": 0, "validation_in_train": 0}
    # Ten equal sentences have two arcs each, of which all but the first of either are duplicates; none disagree.
    assert sum(stats["duplicates"].values()) == 18
    assert stats["label_conflicts"] == 0
    assert stats["labels"] == ["d1", "d3"]
    assert sum(stats["label_counts"][split]["d1"] for split in SPLITS) == 50
    assert (stats["skipped"]["roots"], stats["skipped"]["comments"]) == ({"train": 50}, {"train": 1})
    printed = capsys.readouterr().out
    assert "  skipped roots: 50 in train\n" in printed
    for split, examples in splits.items():
        assert examples.words is not None
        assert [" ".join(words) for words in examples.words] == examples.texts, split


def test_statistics_of_tags(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("train.conll", "Jo I-PER\n! O\n\nJo I-PER\nDoe I-PER\nX B-PER\n\nno O\n\nA\u00a0b I-LOC\n")
    write("test.conll", "Jo S-ART\n? O\n\nwe O\nX E-PER\n")
    stats = prepare(
        tmp_path,
        tmp_path / "out",
        type="token_labelling",
        tags="bio",
        files={"train": "train.conll", "validation": "train.conll", "test": "test.conll"},
        columns=["text", "label"],
    )
    assert stats["labels"] == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER", "B-ART", "I-ART"]
    assert stats["label_counts"]["train"] == {
        "O": 2, "B-LOC": 1, "I-LOC": 0, "B-PER": 3, "I-PER": 1, "B-ART": 0, "I-ART": 0,
    }  # fmt: skip
    assert stats["spans"] == {
        "train": {"LOC": 1, "PER": 3, "ART": 0},
        "validation": {"LOC": 1, "PER": 3, "ART": 0},
        "test": {"LOC": 0, "PER": 1, "ART": 1},
    }
    assert stats["tags"] == "bio"
    assert stats["starts_with_I"] == {"train": 3, "validation": 3, "test": 1}
    assert stats["words_with_white_space"] == {"train": 1, "validation": 1, "test": 0}
    # "Jo !" and "Jo ?" are the same text, and Jo is not the same in both.
    assert stats["label_conflicts"] == 1
    assert stats["words"]["train"] == {"mean": 1.75, "median": 1.5, "max": 3}
    printed = capsys.readouterr().out
    assert "PER 3, LOC 1" in printed
    assert "  spans that begin with I- or E-: 3 in train, 3 in validation, 1 in test\n" in printed
    assert "  words with white space, now _: 1 in train, 1 in validation\n" in printed
    assert "  no training rows for ART\n" in printed


def test_the_same_tags_in_every_scheme(write: Write, tmp_path: Path) -> None:
    """Files in IOB1, BIO and BIOES prepare to the same bytes."""
    schemes = {
        "iob1": ["I-A", "I-A", "B-A", "O", "I-B"],
        "bio": ["B-A", "I-A", "B-A", "O", "B-B"],
        "bioes": ["B-A", "E-A", "S-A", "O", "S-B"],
    }
    for tags in ("bio", "bioes"):
        made = []
        for scheme, labels in schemes.items():
            sentences = [f"w{k} {label}\n" + "\n" * (k % 5 == 4) for k, label in enumerate(labels * 20)]
            write(f"{scheme}/train.conll", "".join(sentences))
            folder = tmp_path / "out" / tags / scheme
            prepare(
                tmp_path / scheme,
                folder,
                type="token_labelling",
                tags=tags,
                files={"train": "train.conll"},
                columns=["text", "label"],
            )
            made.append({name: content for name, content in outputs(folder).items() if name != "stats.json"})
        assert made[0] == made[1] == made[2]
        assert read_split(folder, "train").labels.max() <= 8


def test_groups_are_counted_and_part_of_the_content(write: Write, tmp_path: Path) -> None:
    rows = [(text, label, f"g{i % 2}") for i, (text, label) in enumerate(sentences(50))]
    write("train.csv", table(rows, ("text", "label", "genre")))
    plain = prepare(tmp_path, tmp_path / "out")
    assert plain["groups"] == {}
    grouped = prepare(tmp_path, tmp_path / "out", fields={"group": "genre"})
    assert {split: sum(counts.values()) for split, counts in grouped["groups"].items()} == grouped["rows"]
    assert sum(counts["g0"] for counts in grouped["groups"].values()) == 25
    assert grouped["digest"] != plain["digest"]


@pytest.mark.parametrize("change", ["word", "label", "head"])
def test_the_digest_of_words_and_spans(write: Write, tmp_path: Path, change: str) -> None:
    def digest(content: str) -> Any:
        write("train.conllu", content)
        settings = {"type": "span_pair_classification", "files": {"train": "train.conllu"}}
        return prepare(tmp_path, tmp_path / "out", **settings)["digest"]

    content = conllu(50)
    changes = {"word": ("w7\t", "v7\t"), "label": ("\td3\t", "\td1\t"), "head": ("\t2\td3\t", "\t1\td3\t")}
    assert digest(content) == digest(content)
    assert digest(content) != digest(content.replace(*changes[change], 1))


def test_digests_of_other_tasks_are_as_they_were(write: Write, tmp_path: Path) -> None:
    """Results that are stored under them stay valid."""
    write("train.csv", table(sentences(50)))
    digest = "646865a5f3a03c385d9d5850793c1d91199f3192f980fd5781dcd538cf02f5cb"
    assert prepare(tmp_path, tmp_path / "out")["digest"] == digest

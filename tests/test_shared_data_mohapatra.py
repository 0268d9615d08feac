"""Known overlaps of real data sets: an intermediate task loses exactly the rows that hold its target's sentences."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer_atlas.settings import Task
from transfer_atlas.tasks import canonical
from transfer_atlas.tasks.decontamination import contamination
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import normalise
from transfer_atlas.tasks.overlap import forbidden_keys

DATA = Path(__file__).parents[2] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")

TASKS: dict[str, dict[str, Any]] = {
    "sst2": {
        "type": "sequence_classification",
        "files": {"train": "sst2/train.tsv.gz", "validation": "sst2/validation.tsv", "test": "sst2/test.tsv"},
        "fields": {"text": "sentence"},
    },
    "stsb": {
        "type": "pair_regression",
        "files": {"train": "stsb/train.tsv.gz", "validation": "stsb/validation.tsv", "test": "stsb/test.tsv"},
        "header": False,
        "columns": ["genre", "file", "year", "id", "score", "sentence1", "sentence2"],
        "extra_columns": True,
        "fields": {"text": "sentence1", "text_pair": "sentence2", "label": "score"},
        "score_range": [0.0, 5.0],
    },
    "mrpc": {
        "type": "pair_classification",
        "files": {"train": "mrpc/train.tsv.gz", "validation": "mrpc/validation.tsv", "test": "mrpc/test.tsv"},
        "fields": {"text": "#1 String", "text_pair": "#2 String", "label": "Quality"},
    },
    "sick": {
        "type": "pair_regression",
        "files": {"train": "sick/train.tsv", "validation": "sick/validation.tsv", "test": "sick/test.tsv"},
        "fields": {"text": "sentence_A", "text_pair": "sentence_B", "label": "relatedness_score"},
        "score_range": [1.0, 5.0],
    },
}


@cache
def splits_of(name: str) -> dict[str, Examples]:
    return canonical.read_task(name, Task.model_validate(TASKS[name]), DATA).splits


@cache
def movie_reviews() -> Examples:
    """The sentences that SST-2 was made from: lines of a label and a text, which is none of our formats."""
    with gzip.open(DATA / "mr" / "all.txt.gz", "rt", encoding="latin-1", newline="\n") as stream:
        rows = [line.rstrip("\n").split(" ", 1) for line in stream]
    labels = np.array([int(label) for label, _ in rows], dtype=np.int64)
    return Examples([f"mr:{row}" for row in range(len(rows))], [text for _, text in rows], None, labels)


@pytest.mark.parametrize(("split", "share"), [("validation", 731 / 872), ("test", 1493 / 1821)])
def test_five_of_six_sentences_of_sst2_are_in_the_movie_reviews(split: str, share: float) -> None:
    reviews = forbidden_keys(movie_reviews())
    texts = splits_of("sst2")[split].texts
    assert sum(normalise(text) in reviews for text in texts) / len(texts) == pytest.approx(share)
    assert 0.81 < share < 0.85


@pytest.mark.parametrize(("other", "shared"), [("mrpc", 499), ("sick", 123)])
def test_sentences_of_sts_b_that_other_tasks_hold(other: str, shared: int) -> None:
    sentences = forbidden_keys(splits_of("stsb")["test"])
    assert len(sentences) == 2550
    assert len(sentences & forbidden_keys(*splits_of(other).values())) == shared


def test_sentences_that_translations_of_sts_b_share_unseen() -> None:
    """Those of its own training split: in other languages no comparison of texts finds them."""
    splits = splits_of("stsb")
    assert len(forbidden_keys(splits["test"]) & forbidden_keys(splits["train"])) == 257


@pytest.mark.parametrize(
    ("intermediate", "split", "target", "left_out"),
    [
        ("mr", "all", "sst2", 2224),
        ("mrpc", "train", "stsb", 312),
        ("mrpc", "validation", "stsb", 28),
        ("sick", "train", "stsb", 655),
        ("sick", "validation", "stsb", 79),
    ],
)
def test_an_intermediate_task_loses_exactly_the_rows_with_its_targets_sentences(
    intermediate: str, split: str, target: str, left_out: int
) -> None:
    rows = movie_reviews() if intermediate == "mr" else splits_of(intermediate)[split]
    evaluation = [splits_of(target)[name] for name in ("validation", "test")]
    found = contamination(rows, {target: forbidden_keys(*evaluation)})
    kept = rows.without(set(found.left_out))
    assert (found.shared[target], len(kept)) == (left_out, len(rows) - left_out)
    # Once more, text by text and without the functions under test.
    held_out = {normalise(text) for part in evaluation for text in [*part.texts, *(part.pairs or [])]}
    pairs = rows.pairs or rows.texts
    clean = [
        row
        for row, texts in zip(rows.ids, zip(rows.texts, pairs, strict=True), strict=True)
        if not any(normalise(text) in held_out for text in texts)
    ]
    assert kept.ids == clean

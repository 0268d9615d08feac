from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from transfer_atlas.training.labelling_scores import CUT, span_scores, word_scores

TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def tags(*sentences: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes of all words, and where each sentence begins."""
    split = [sentence.split() for sentence in sentences]
    offsets = np.cumsum([0, *(len(sentence) for sentence in split)])
    return np.array([TAGS.index(tag) for sentence in split for tag in sentence]), offsets


def test_a_span_is_right_where_type_and_borders_are() -> None:
    """Of four spans one is found, one is too long, one of another type; one is missed and one made up."""
    right, offsets = tags("B-PER O B-LOC I-LOC O", "B-PER O B-LOC O O")
    found, _ = tags("B-PER O B-LOC I-LOC I-LOC", "B-LOC O O O B-PER")
    assert span_scores(found, right, offsets, TAGS) == pytest.approx(
        {"span_precision": 1 / 4, "span_recall": 1 / 4, "span_f1": 1 / 4}
    )


def test_spans_end_with_their_sentence() -> None:
    right, offsets = tags("O B-PER", "I-PER O")
    joined = np.array([0, 4])
    assert span_scores(right, right, offsets, TAGS)["span_f1"] == 1.0
    assert span_scores(right, np.array([0, 1, 2, 0]), joined, TAGS)["span_f1"] == 1.0


def test_neighbouring_spans_are_two() -> None:
    right, offsets = tags("B-PER B-PER")
    found, _ = tags("B-PER I-PER")
    assert span_scores(found, right, offsets, TAGS)["span_recall"] == 0.0


def test_nothing_found_and_nothing_there() -> None:
    nothing, offsets = tags("O O")
    some, _ = tags("O B-PER")
    for found, right in ((nothing, nothing), (nothing, some), (some, nothing)):
        assert span_scores(found, right, offsets, TAGS) == {"span_f1": 0.0, "span_precision": 0.0, "span_recall": 0.0}


def test_cut_words_are_wrong_and_outside() -> None:
    right, offsets = tags("B-PER I-PER O B-LOC")
    found = np.array([1, 2, CUT, CUT])
    assert word_scores(found, right)["accuracy"] == 0.5
    assert span_scores(found, right, offsets, TAGS) == pytest.approx(
        {"span_f1": 2 / 3, "span_precision": 1.0, "span_recall": 0.5}
    )


def test_macro_f1_is_that_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    right, found = random.integers(0, 5, 200), random.integers(0, 5, 200)
    assert word_scores(found, right)["macro_f1"] == pytest.approx(f1_score(right, found, average="macro"))


def test_f1_is_that_of_counted_spans() -> None:
    """Random tags, also impossible ones, against sets of spans."""
    from transfer_atlas.tasks.tags import spans_of

    random = np.random.default_rng(2)
    offsets = np.arange(0, 301, 10)
    right, found = random.integers(0, 5, 300), random.integers(0, 5, 300)

    def spans(values: np.ndarray) -> set[tuple[int, str, int, int]]:
        return {
            (k, *span)
            for k, begin in enumerate(offsets[:-1])
            for span in spans_of([TAGS[value] for value in values[begin : begin + 10]])
        }

    hits = len(spans(right) & spans(found))
    scores = span_scores(found, right, offsets, TAGS)
    assert scores["span_precision"] == pytest.approx(hits / len(spans(found)))
    assert scores["span_recall"] == pytest.approx(hits / len(spans(right)))
    assert scores["span_f1"] == pytest.approx(2 * hits / (len(spans(found)) + len(spans(right))))

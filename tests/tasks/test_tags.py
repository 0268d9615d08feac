"""Spans of tags, against the rules of conlleval written out as its authors do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from transfer_atlas.tasks.tags import is_tag, spans_of, starting_inside, tag_names, to_bio, to_bioes, types_of

TAGS = ["O", *(f"{prefix}-{kind}" for kind in "xy" for prefix in "BIES")]


def conlleval(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """endOfChunk and startOfChunk of the scorer, over all words and a last `O`."""
    spans = []
    before, kind_before, start = "O", "", 0
    inside = False
    for place, tag in enumerate([*tags, "O"]):
        now, _, kind = tag.partition("-")
        other = before != "O" and kind_before != kind
        if inside and (before in "ES" or (before in "BI" and now in "BSO") or other):
            spans.append((kind_before, start, place))
            inside = False
        if now in "BS" or (before in "ESO" and now in "EI") or (now != "O" and kind_before != kind):
            start, inside = place, True
        before, kind_before = now, kind
    return spans


@pytest.mark.parametrize("length", range(5))
def test_spans_are_those_of_conlleval(length: int) -> None:
    for tags in itertools.product(TAGS, repeat=length):
        spans = spans_of(tags)
        assert spans == conlleval(tags), tags
        assert spans_of(to_bio(spans, length)) == spans
        assert spans_of(to_bioes(spans, length)) == spans


def test_schemes() -> None:
    iob1 = ["I-A", "I-A", "O", "I-A", "B-A", "I-A", "I-B", "O"]
    spans = [("A", 0, 2), ("A", 3, 4), ("A", 4, 6), ("B", 6, 7)]
    bio = ["B-A", "I-A", "O", "B-A", "B-A", "I-A", "B-B", "O"]
    bioes = ["B-A", "E-A", "O", "S-A", "B-A", "E-A", "S-B", "O"]
    assert [spans_of(tags) for tags in (iob1, bio, bioes)] == [spans] * 3
    assert (to_bio(spans, 8), to_bioes(spans, 8)) == (bio, bioes)
    assert to_bioes([("A", 0, 3)], 3) == ["B-A", "I-A", "E-A"]
    assert [starting_inside(tags) for tags in (iob1, bio, bioes)] == [3, 0, 0]


def test_types_may_have_hyphens() -> None:
    assert spans_of(["B-round-trip", "I-round-trip", "I-round"]) == [("round-trip", 0, 2), ("round", 2, 3)]


@pytest.mark.parametrize("label", ["O", "B-PER", "I-PER", "E-PER", "S-a-b"])
def test_tags(label: str) -> None:
    assert is_tag(label)


@pytest.mark.parametrize("label", ["B", "B-", "PER", "X-PER", "o", "", "-"])
def test_labels_that_are_no_tags(label: str) -> None:
    assert not is_tag(label)


def test_names() -> None:
    assert tag_names(["PER", "LOC"], "bio") == ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    assert tag_names(["PER"], "bioes") == ["O", "B-PER", "I-PER", "E-PER", "S-PER"]
    assert types_of(["O", "I-B", "B-A", "E-B"]) == ["B", "A"]

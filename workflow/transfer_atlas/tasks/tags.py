"""Labels of words that mark spans: BIO, IOB1 and BIOES read alike, BIO and BIOES written.

A tag is `O`, or what the word is in its span and the span's type: `B-PER` begins a span, `I-PER` is inside, `E-PER`
ends one and `S-PER` is one by itself. Spans are those that conlleval, the scorer of the CoNLL shared tasks, finds: a
span also begins where `I-` or `E-` follow no span of their type, which is how IOB1 writes most of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

OUTSIDE = "O"
PREFIXES = {"bio": "BI", "bioes": "BIES"}

Span = tuple[str, int, int]
"""Type, first word, and the word after the last."""


def is_tag(label: str) -> bool:
    """Whether a label is `O` or has one of the four prefixes and a type."""
    prefix, joint, kind = label.partition("-")
    return label == OUTSIDE or (prefix in ("B", "I", "E", "S") and bool(joint and kind))


def types_of(tags: Iterable[str]) -> list[str]:
    """The types of spans that tags mark, in the order in which they are first seen."""
    return list(dict.fromkeys(tag.partition("-")[2] for tag in tags if tag != OUTSIDE))


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans that tags mark, in order; they do not overlap."""
    spans: list[Span] = []
    open_type: str | None = None
    start = 0
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if open_type is not None and not (prefix in ("I", "E") and kind == open_type):
            spans.append((open_type, start, place))
            open_type = None
        if tag == OUTSIDE:
            continue
        if open_type is None:
            open_type, start = kind, place
        if prefix in ("E", "S"):
            spans.append((open_type, start, place + 1))
            open_type = None
    if open_type is not None:
        spans.append((open_type, start, len(tags)))
    return spans


def starting_inside(tags: Sequence[str]) -> int:
    """How many spans begin with `I-` or `E-`: IOB1, or a mistake of the annotation."""
    return sum(tags[start][0] in "IE" for _, start, _ in spans_of(tags))


def to_bio(spans: Iterable[Span], n_words: int) -> list[str]:
    """Tags of spans that do not overlap: `B-` on the first word of each, `I-` on the others."""
    tags = [OUTSIDE] * n_words
    for kind, start, end in spans:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def to_bioes(spans: Iterable[Span], n_words: int) -> list[str]:
    """Tags of spans that do not overlap: as BIO, but `E-` on the last word, and `S-` on a single one."""
    tags = [OUTSIDE] * n_words
    for kind, start, end in spans:
        inside = [f"I-{kind}"] * (end - start - 2)
        tags[start:end] = [f"S-{kind}"] if end - start == 1 else [f"B-{kind}", *inside, f"E-{kind}"]
    return tags


WRITERS = {"bio": to_bio, "bioes": to_bioes}


def tag_names(types: Iterable[str], scheme: str) -> list[str]:
    """Every tag of a scheme: `O` first, then those of each type."""
    return [OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in PREFIXES[scheme])]

"""When two texts count as the same: the one rule behind duplicates, conflicts, overlap, carving and limits.

Copies of one corpus differ in tokenisation ("do n't" and "don't", "-LRB-" aside), in quotation marks, brackets and
case. So what is compared is the letters, digits and symbols (emoji, currency, arithmetic) of the text, in order.
Collapsing white space around punctuation alone finds 72 % of SST-2's test and validation sentences in the movie
reviews they come from; this rule finds 83 %, and of the 10662 reviews themselves it merges only two pairs.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from functools import cache

# Unicode categories that do not count: separators, punctuation, control and format characters, and spacing
# modifiers such as the ` of ``quotes''. Combining marks count: without them many Indic words would be the same.
_IGNORED = ("Z", "P", "C", "Sk")

# Joins the two texts of a pair; a control character, so no normalised text holds it.
_PAIR_JOINT = "\x1f"


class _Comparable(dict[int, int | None]):
    """Translation table for `str.translate`, filled as characters turn up."""

    def __missing__(self, code: int) -> int | None:
        self[code] = None if unicodedata.category(chr(code)).startswith(_IGNORED) else code
        return self[code]


_COMPARABLE = _Comparable()


def normalise(text: str) -> str:
    """The text as it is compared: NFKC, case folded, without white space and punctuation.

    A text of nothing but punctuation ("?!") is compared with its punctuation, without white space.
    """
    # Case folding can undo the normal form (U+0345, for one), so it is restored afterwards.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.translate(_COMPARABLE) or "".join(folded.split())


def row_key(text: str, text_pair: str | None = None) -> str:
    """One string for a row: equal for rows that count as the same. A pair is the same in either order."""
    if text_pair is None:
        return normalise(text)
    return _PAIR_JOINT.join(sorted((normalise(text), normalise(text_pair))))


def row_keys(texts: Iterable[str], pairs: Iterable[str] | None) -> list[str]:
    """`row_key` of every row."""
    if pairs is None:
        # All arcs of a sentence have its text.
        return list(map(cache(row_key), texts))
    return [row_key(text, pair) for text, pair in zip(texts, pairs, strict=True)]


def text_keys(texts: Iterable[str]) -> set[str]:
    """The normalised texts of a row (`[text]` or `[text, text_pair]`), or of a whole split, each text by itself."""
    return {normalise(text) for text in texts}


def key_hash(key: str) -> str:
    """SHA-256 (hex) of a key: the fixed order in which rows are carved and limited."""
    return hashlib.sha256(key.encode("utf-8")).hexdigest()

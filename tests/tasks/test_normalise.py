"""Which texts count as the same."""

from __future__ import annotations

import pytest

from transfer_atlas.tasks.normalise import normalise, row_key, text_keys

SAME = [
    ("Hello ,  World !", "hello, world!"),
    ("you do n't know , she said .", "You don't know, she said."),
    ("``quoted'' text", '" quoted " text'),
    ("\u201ccurly\u201d \u2018quotes\u2019 \u2013 dash", "\"curly\" 'quotes' - dash"),
    ("[deniro] brings", "( deniro ) brings"),
    ("\ufb01ne \uff11\uff12", "fine 12"),
    ("STRASSE", "straße"),
    ("cafe\u0301", "café"),
    ("a\u00a0b\u2028c\u200b", "a b c"),
]
DIFFERENT = [
    ("good", "bad"),
    ("I love it 😡", "I love it 😍"),
    ("5 $", "5 €"),
    ("a b", "b a"),
    ("की", "का"),
    ("?!", "!?"),
    ("cafe", "café"),
]

# Letters whose case folding undoes the normal form.
FOLDED = ["\u0345\u03b1", "\u01f0", "\u0390"]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@pytest.mark.parametrize("text", [text for pair in SAME + DIFFERENT for text in pair] + FOLDED)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_a_pair_is_the_same_in_either_order_and_is_no_single_text() -> None:
    assert row_key("A b", "c") == row_key("C", "a b")
    assert row_key("a", "bc") != row_key("ab", "c")
    assert row_key("a", "b") not in text_keys(["a", "b"])
    assert text_keys(["A.", "a", "b"]) == {"a", "b"}

from __future__ import annotations

import torch

from transfer_atlas.models.elmo.characters import read_words

SENTENCE_BEGIN = [258, 256, 259, 260, 260, 260, 260, 260]
SENTENCE_END = [258, 257, 259, 260, 260, 260, 260, 260]


def test_ids_are_bytes_between_begin_and_end() -> None:
    words = read_words([["cats", "é"]], 8)
    assert words.characters.tolist() == [
        SENTENCE_BEGIN,
        SENTENCE_END,
        [258, 99, 97, 116, 115, 259, 260, 260],
        [258, 0xC3, 0xA9, 259, 260, 260, 260, 260],
    ]


def test_long_words_are_cut_after_their_first_bytes() -> None:
    """Also within a character, as in the original."""
    words = read_words([["abcdef", "abcdefg", "ééé€"]], 8)
    assert words.characters[2].tolist() == [258, *b"abcdef", 259]
    assert words.characters[3].tolist() == words.characters[2].tolist()
    assert words.characters[4].tolist() == [258, *"ééé".encode(), 259]


def test_original_length_is_fifty() -> None:
    characters = read_words([["x" * 80]], 50).characters[2].tolist()
    assert characters == [258, *b"x" * 48, 259]


def test_each_distinct_word_is_held_once() -> None:
    words = read_words([["a", "b", "a"], [], ["b", "c"]], 8)
    assert words.rows.tolist() == [2, 3, 2, 3, 4]
    assert words.lengths.tolist() == [3, 0, 2]
    assert len(words.characters) == 5


def test_taking_sentences_takes_their_words_only() -> None:
    sentences = [["a", "b", "a"], [], ["b", "c"], ["d"]]
    taken = read_words(sentences, 8).take(torch.tensor([2, 1, 3]))
    expected = read_words([sentences[2], [], sentences[3]], 8)
    assert taken.lengths.tolist() == expected.lengths.tolist()
    assert torch.equal(taken.characters[taken.rows], expected.characters[expected.rows])
    assert torch.equal(taken.characters, expected.characters)


def test_no_sentences_at_all() -> None:
    words = read_words([], 8)
    assert len(words.rows) == len(words.lengths) == 0
    assert words.characters.tolist() == [SENTENCE_BEGIN, SENTENCE_END]


def test_half_a_surrogate_pair_has_no_bytes() -> None:
    assert read_words([["a\ud800b"]], 8).characters[2].tolist()[:4] == [258, 97, 98, 259]

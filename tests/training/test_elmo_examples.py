from __future__ import annotations

import numpy as np
import pytest
import torch

from transfer_atlas.training.elmo_examples import elmo_inputs, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's good.", ["It", "'s", "good", "."]),
        ("They don't know", ["They", "do", "n't", "know"]),
        ("do n't 's , .", ["do", "n't", "'s", ",", "."]),
        ("a well-known 3.5% rise", ["a", "well-known", "3.5", "%", "rise"]),
        ("(no), really!", ["(", "no", ")", ",", "really", "!"]),
        ("日本 ½ é", ["日本", "½", "é"]),
        ("\u0007", ["\u0007"]),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_nothing_but_white_space_is_lost() -> None:
    text = "“Odd” – £5 / a_b & c@d.e #1 … 'tis rock'n'roll U.S. (x)"
    assert "".join(split_words(text)) == "".join(text.split())


def test_sentences_are_cut_and_counted() -> None:
    inputs = elmo_inputs([["a", "b", "c"], ["d"]], 2, 50)
    assert inputs.truncated == 1
    assert inputs.lengths.tolist() == [2, 1]
    assert inputs.take(np.array([1])).lengths.tolist() == [1]
    assert inputs.batch(torch.tensor([1, 0]), torch.device("cpu")).lengths.tolist() == [1, 2]

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from transfer_atlas.errors import UserError
from transfer_atlas.models.encoder import load_pretrained
from transfer_atlas.models.word_pieces import tokenise_words


@pytest.fixture
def bert(make_encoder: Callable[..., Path]) -> Any:
    """A tokenizer of whole words that splits at punctuation and drops control characters and lone accents."""
    return load_pretrained(make_encoder("bert")).tokenizer


def of_words(tokenizer: Any, *words: str) -> list[int]:
    return tokenise_words(tokenizer, words).words.tolist()


def test_pieces_belong_to_the_word_that_they_are_cut_from(bert: Any) -> None:
    assert of_words(bert, "w1", "w2.w3", "w4") == [-1, 0, 1, 1, 1, 2, -1]


def test_ids_are_those_of_the_running_text(bert: Any) -> None:
    pieces = tokenise_words(bert, ["w1", "w2.w3", "nothing"])
    assert pieces.input_ids == bert("w1 w2.w3 nothing")["input_ids"]
    assert pieces.token_type_ids == [0] * 7


@pytest.mark.parametrize("odd", ["\u200b", "\u0301", "\u0007", "\ufffd", "\u0000", "\ue000"], ids=ascii)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_word_has_a_piece(bert: Any, odd: str, place: int) -> None:
    words = ["w1", "w2"]
    words.insert(place, odd)
    pieces = tokenise_words(bert, words)
    assert pieces.words.tolist() == [-1, 0, 1, 2, -1]
    assert pieces.input_ids[1 + place] == bert.unk_token_id


def test_odd_characters_within_words_shift_nothing(bert: Any) -> None:
    assert of_words(bert, "w\u200b1", "東京", "w2\u0301", "🎉", "w3") == [-1, 0, 1, 1, 2, 3, 4, -1]


def test_words_that_look_like_special_tokens_are_words(bert: Any) -> None:
    assert of_words(bert, "w1", "[SEP]", "[PAD]", "w2") == [-1, 0, 1, 2, 3, -1]


def test_no_words(bert: Any) -> None:
    assert of_words(bert) == [-1, -1]


@pytest.fixture(scope="module")
def byte_level() -> Any:
    """Like RoBERTa's: bytes as pieces, a space belongs to the word that follows."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<s>", "</s>", "<unk>", *alphabet, "Ġa"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "a")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_bytes_of_a_character_belong_to_its_word(byte_level: Any) -> None:
    pieces = tokenise_words(byte_level, ["é", "a", "b", "\u200b"])
    # Two bytes; the word with its space; the space, then b; the space and three bytes.
    assert pieces.words.tolist() == [-1, 0, 0, 1, 2, 2, 3, 3, 3, 3, -1]


def test_a_space_as_a_piece_begins_the_word_that_follows() -> None:
    """Unigram vocabularies hold it, and use it before what they do not know."""
    vocabulary = [("<unk>", 0.0), ("▁", -1.0), ("▁a", -1.0), ("b", -2.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert of_words(fast, "a", "b", "東", "ab") == [0, 1, 1, 2, 2, 3, 3]


def test_a_word_of_which_nothing_is_left() -> None:
    class Tokeniser(SimpleNamespace):
        def __call__(self, text: str, **_: Any) -> dict[str, Any]:
            return {"input_ids": [5], "offset_mapping": [(0, 1)], "special_tokens_mask": [0]}

    for unknown in (None, "?"):
        with pytest.raises(UserError, match=r"nothing of the word '\\u200b'; remove it"):
            tokenise_words(Tokeniser(unk_token=unknown), ["a", "\u200b"])

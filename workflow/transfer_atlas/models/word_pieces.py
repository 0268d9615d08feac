"""Words as an encoder's tokenizer sees them: which pieces belong to which word.

Words are tokenised as running text, joined by single spaces, and pieces are assigned by the characters they cover: so
every tokenizer gets the kind of text that it was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transfer_atlas.errors import UserError


@dataclass(frozen=True)
class WordPieces:
    """A tokenised sentence of words.

    Attributes:
        input_ids, token_type_ids: [P], special tokens included.
        words: [P] word of each piece, -1 for special tokens. Every word has at least one piece.
    """

    input_ids: list[int]
    token_type_ids: list[int]
    words: np.ndarray


def _tokenised(tokenizer: Any, words: Sequence[str]) -> WordPieces:
    encoded = tokenizer(" ".join(words), return_offsets_mapping=True, return_special_tokens_mask=True)
    ids: list[int] = encoded["input_ids"]
    # One past the last character of each word: the space there belongs to the next word, as tokenizers have it.
    ends = np.cumsum([len(word) + 1 for word in words], dtype=np.int64) - 1
    last_characters = [max(start, end - 1) for start, end in encoded["offset_mapping"]]
    of_word = np.minimum(np.searchsorted(ends, last_characters, side="right"), len(words) - 1)
    of_word[np.array(encoded["special_tokens_mask"], dtype=bool)] = -1
    return WordPieces(ids, encoded.get("token_type_ids") or [0] * len(ids), of_word)


def tokenise_words(tokenizer: Any, words: Sequence[str]) -> WordPieces:
    """Tokenise words (without white space, not empty) as one sentence, with special tokens and never truncated.

    A word of which the tokenizer leaves nothing (a control character, say) is read as its unknown token.

    Raises:
        UserError: The tokenizer leaves nothing of a word and has no unknown token.
    """
    pieces = _tokenised(tokenizer, words)
    lost = set(range(len(words))) - set(pieces.words.tolist())
    if lost and tokenizer.unk_token is not None:
        unknown = str(tokenizer.unk_token)
        pieces = _tokenised(tokenizer, [unknown if index in lost else word for index, word in enumerate(words)])
        lost = set(range(len(words))) - set(pieces.words.tolist())
    if lost:
        raise UserError(f"the tokenizer leaves nothing of the word {words[min(lost)]!a}; remove it from the text")
    return pieces

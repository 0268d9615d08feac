"""Texts as examples of ELMo: words, which it reads by their characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.models.elmo.characters import Words, read_words

# English contractions come apart as in the Penn Treebank, punctuation stands alone; what is tokenised already stays.
_WORD = re.compile(r"\w+(?=n['’]t\b)|n['’]t\b|['’](?:s|re|ve|ll|d|m)\b|\w+(?:[-.,_/&]\w+)*|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Words and punctuation of a text; never none unless it is white space alone."""
    return _WORD.findall(text)


@dataclass(frozen=True)
class ElmoInputs:
    """Sentences for ELMo.

    Attributes:
        words: All sentences.
        truncated: How many were longer than the limit.
    """

    words: Words
    truncated: int

    @property
    def lengths(self) -> Tensor:
        """[I] words of each sentence."""
        return self.words.lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Tensor, device: torch.device) -> Words:
        """These sentences; the model moves them to its device."""
        return self.words.take(rows)

    def take(self, rows: np.ndarray) -> ElmoInputs:
        """Only these rows, in this order; `truncated` is not known for a part and set to 0."""
        return ElmoInputs(self.words.take(torch.from_numpy(np.asarray(rows, dtype=np.int64))), 0)


def elmo_inputs(sentences: Sequence[Sequence[str]], max_length: int, characters: int) -> ElmoInputs:
    """Number the words of sentences, each cut at `max_length` words.

    Args:
        characters: Ids of a word, `max_characters_per_token` of ELMo's options.
    """
    cut = [sentence[:max_length] for sentence in sentences]
    return ElmoInputs(read_words(cut, characters), sum(len(sentence) > max_length for sentence in sentences))

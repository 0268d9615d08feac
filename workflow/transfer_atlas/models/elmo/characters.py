"""Words as ELMo reads them: the bytes of their UTF-8 form between a begin and an end, padded to a fixed length.

The ids are the rows of `char_embed`: 0 to 255 are bytes, the others are below.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.models.sequences import rows_of_parts, starts_of

SENTENCE_BEGIN, SENTENCE_END, WORD_BEGIN, WORD_END, PADDING = range(256, 261)
N_CHARACTERS = 261
# Rows of the two words that stand around every sentence.
BEGIN_ROW, END_ROW = 0, 1


@dataclass(frozen=True)
class Words:
    """Sentences as rows of a table of their distinct words.

    Attributes:
        characters: [V, L] character ids, int64; the first two rows are the sentence's begin and end.
        rows: [T] row of each word of the sentences, one sentence after the other, without begin and end.
        lengths: [B] words of each sentence.
    """

    characters: Tensor
    rows: Tensor
    lengths: Tensor

    def take(self, sentences: Tensor) -> Words:
        """Only these sentences ([B'], in this order) and their words."""
        lengths = self.lengths[sentences]
        rows = self.rows[rows_of_parts(starts_of(self.lengths)[sentences], lengths)]
        used, inverse = torch.unique(torch.cat([torch.tensor([BEGIN_ROW, END_ROW]), rows]), return_inverse=True)
        return Words(self.characters[used], inverse[2:], lengths)


def character_table(contents: Sequence[Sequence[int]], length: int) -> Tensor:
    """[V, length] ids of words with these contents (bytes, or one id of a boundary); what is too long is cut."""
    table = np.full((len(contents), length), PADDING, dtype=np.int64)
    table[:, 0] = WORD_BEGIN
    for row, content in zip(table, contents, strict=True):
        kept = min(len(content), length - 2)
        row[1 : 1 + kept] = list(content[:kept])
        row[1 + kept] = WORD_END
    return torch.from_numpy(table)


def read_words(sentences: Sequence[Sequence[str]], length: int) -> Words:
    """Number the distinct words of tokenised sentences in the order in which they occur.

    Args:
        sentences: [B] sentences of words; a sentence may be empty.
        length: Ids of a word, `max_characters_per_token` of the options.
    """
    row_of: dict[str, int] = {}
    rows = [row_of.setdefault(word, len(row_of) + 2) for sentence in sentences for word in sentence]
    # Lone surrogates have no UTF-8 form and are left out, as in the original.
    contents = [[SENTENCE_BEGIN], [SENTENCE_END], *(word.encode("utf-8", "ignore") for word in row_of)]
    return Words(
        characters=character_table(contents, length),
        rows=torch.tensor(rows, dtype=torch.int64),
        lengths=torch.tensor([len(sentence) for sentence in sentences], dtype=torch.int64),
    )

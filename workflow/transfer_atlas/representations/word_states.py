"""States of every word of sentences, from all layers of an encoder: ELMo, or one of transformers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.models.elmo.characters import read_words
from transfer_atlas.models.elmo.encoder import Elmo
from transfer_atlas.models.elmo.recurrence import State
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.word_pieces import WordPieces
from transfer_atlas.settings import Engine
from transfer_atlas.training.progress import EncodingProgress
from transfer_atlas.training.targets import Targets
from transfer_atlas.training.unit_examples import UnitExamples, pieces_as_units

# At most so many sentences and tokens are held before they are handed on, and are run at once.
HELD, AT_ONCE = (4096, 16384), (64, 2048)
PROGRESS_SECONDS = 5.0


class SentenceEncoder(Protocol):
    """Sentences, and the model that encodes them."""

    sizes: Tensor
    """[N] tokens that each sentence costs."""
    in_order: bool
    """Whether a sentence depends on those before it."""

    def encode(self, rows: Tensor) -> list[np.ndarray]:
        """States of these sentences ([B]): [layers, words, H] float32 each."""
        ...


class ElmoSentences:
    """Sentences for ELMo, each by itself or, `stateful`, each from the state in which the one before it ended."""

    def __init__(self, model: Elmo, sentences: Sequence[Sequence[str]], stateful: bool):
        self.words = read_words(sentences, model.options.char_cnn.max_characters_per_token)
        self.sizes = self.words.lengths
        self.in_order = stateful
        self._model = model
        self._state: list[State] | None = None

    def encode(self, rows: Tensor) -> list[np.ndarray]:
        """See `SentenceEncoder`."""
        words = self.words.take(rows)
        if self.in_order:
            layers, self._state = self._model.go_on(words, self._state)
        else:
            layers = self._model(words)
        return [part.numpy() for part in torch.stack(layers).cpu().split(words.lengths.tolist(), dim=1)]


class PieceSentences:
    """Sentences for an encoder of transformers; a word's state is that of its first piece or the mean of all."""

    in_order = False

    def __init__(self, pretrained: Pretrained, sentences: Sequence[WordPieces], pooling: str, device: torch.device):
        """Args: sentences: [N]; pooling: `first` or `mean`; device: where to compute."""
        inputs, words = pieces_as_units(sentences, pooling, pretrained.position_offset)
        self.sizes = inputs.lengths
        self._examples = UnitExamples(inputs, 1, words, Targets(torch.zeros(len(sentences))), None)
        self._device = device
        self._encoding = encoding_of(pretrained.encoder.eval().to(device), Engine())

    def encode(self, rows: Tensor) -> list[np.ndarray]:
        """See `SentenceEncoder`."""
        batch = self._examples.batch(rows, self._device)
        words = batch.units.read(self._encoding(batch.inputs))
        return [part.numpy() for part in words.states.cpu().split(words.lengths.tolist(), dim=1)]


def _neighbours(sizes: Tensor, most: tuple[int, int]) -> Iterator[slice]:
    """Cut [N] sizes into parts of at most so many items and, unless it is one item, so many tokens."""
    start, tokens = 0, 0
    for index, size in enumerate(sizes.tolist()):
        if index > start and (index - start == most[0] or tokens + size > most[1]):
            yield slice(start, index)
            start, tokens = index, 0
        tokens += size
    if start < len(sizes):
        yield slice(start, len(sizes))


@torch.no_grad()
def word_states(encoder: SentenceEncoder) -> Iterator[np.ndarray]:
    """States of each sentence, [layers, words, H] float32, in the order of the sentences.

    Sentences of similar length are run together. Only a bounded number is held at a time.
    """
    progress = EncodingProgress(int(encoder.sizes.sum()), PROGRESS_SECONDS)
    for held in _neighbours(encoder.sizes, HELD):
        sizes = encoder.sizes[held]
        order = torch.arange(len(sizes)) if encoder.in_order else torch.argsort(sizes, descending=True, stable=True)
        states: dict[int, np.ndarray] = {}
        for part in _neighbours(sizes[order], AT_ONCE):
            rows = order[part]
            states |= zip(rows.tolist(), encoder.encode(rows + held.start), strict=True)
            progress.encoded(int(sizes[rows].sum()))
        yield from (states[row] for row in range(len(sizes)))

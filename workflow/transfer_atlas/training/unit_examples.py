"""Examples as encoder and head see them: inputs, the units of their states that the head reads, and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.layout import Layout
from transfer_atlas.models.elmo.pretrained import PretrainedElmo
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.sequences import rows_of_parts, starts_of
from transfer_atlas.models.tokenizer import classification_place
from transfer_atlas.models.units import UnitBatch, Units
from transfer_atlas.models.word_pieces import WordPieces, tokenise_words
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.elmo_examples import ElmoInputs, elmo_inputs, split_words
from transfer_atlas.training.targets import Targets, targets_of
from transfer_atlas.training.token_examples import TokenisedExamples, examples_of, flat_examples


@dataclass(frozen=True)
class UnitTable:
    """Which tokens of its input each unit is made of.

    Attributes:
        tokens: [U, m] token within the input, -1 where a unit has fewer than m.
        lengths: [I, s] units of each sequence of each input; an input's sequences lie one after the other.
    """

    tokens: Tensor
    lengths: Tensor

    @cached_property
    def _starts(self) -> Tensor:
        """[I] where the units of each input begin."""
        return starts_of(self.lengths.sum(1))

    def take(self, inputs: Tensor) -> UnitTable:
        """Only the units of these inputs, in this order."""
        tokens = self.tokens[rows_of_parts(self._starts[inputs], self.lengths[inputs].sum(1))]
        # One word of very many pieces costs memory in its own batch alone.
        most = int((tokens >= 0).sum(1).max()) if len(tokens) else 0
        return UnitTable(tokens[:, :most], self.lengths[inputs])


@dataclass(frozen=True)
class UnitExamples:
    """N examples of one input each, or of two (separately encoded pairs: inputs 2i and 2i + 1).

    Attributes:
        inputs: What the encoder reads, with `lengths` in tokens.
        inputs_each: Inputs of an example.
        table: The units; None: every token is one.
        targets: Of the examples, or in labelling of their units.
        spans: [N, 2, 2] marked spans of units.
    """

    inputs: TokenisedExamples | ElmoInputs
    inputs_each: int
    table: UnitTable | None
    targets: Targets
    spans: Tensor | None

    def __len__(self) -> int:
        return len(self.inputs) // self.inputs_each

    @property
    def truncated(self) -> int:
        """How many texts or sentences were longer than the limit; not known for a part (`take`)."""
        return self.inputs.truncated

    def sizes(self) -> Tensor:
        """[N] tokens of each example."""
        return self.inputs.lengths.view(-1, self.inputs_each).sum(1)

    def units(self, rows: Tensor) -> Tensor:
        """[B] outputs that each of these examples has."""
        return self.targets.units(rows)

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        """Targets of these examples, one after the other."""
        return self.targets.of(rows).to(device)

    def _inputs_of(self, rows: Tensor) -> Tensor:
        return (rows[:, None] * self.inputs_each + torch.arange(self.inputs_each)).flatten()

    def batch(self, rows: Tensor, device: torch.device) -> UnitBatch:
        """These examples ([B], int64) for encoder and head."""
        inputs = self._inputs_of(rows)
        lengths = self.inputs.lengths[inputs]
        spans = None if self.spans is None else self.spans[rows]
        if self.table is None:
            return UnitBatch(self.inputs.batch(inputs, device), Units(lengths, None, spans))
        table = self.table.take(inputs)
        first = torch.repeat_interleave(starts_of(lengths), table.lengths.sum(1))
        tokens = torch.where(table.tokens >= 0, table.tokens + first[:, None], -1)
        return UnitBatch(self.inputs.batch(inputs, device), Units(table.lengths.flatten(), tokens.to(device), spans))

    def take(self, rows: np.ndarray) -> UnitExamples:
        """Only these examples, in this order."""
        index = torch.from_numpy(np.asarray(rows, dtype=np.int64))
        inputs = self._inputs_of(index)
        return UnitExamples(
            inputs=self.inputs.take(inputs.numpy()),
            inputs_each=self.inputs_each,
            table=None if self.table is None else self.table.take(inputs),
            targets=self.targets.take(index),
            spans=None if self.spans is None else self.spans[index],
        )

    @property
    def tokens(self) -> TokenisedExamples:
        """The inputs of an encoder of transformers."""
        assert isinstance(self.inputs, TokenisedExamples)
        return self.inputs

    def with_inputs(self, inputs: TokenisedExamples) -> UnitExamples:
        """The same examples with other inputs: of another vocabulary, or with states."""
        return replace(self, inputs=inputs)

    def with_targets(self, targets: Targets) -> UnitExamples:
        """The same examples with other targets."""
        return replace(self, targets=targets)


# --- from texts --------------------------------------------------------------------------------------------


def _word_table(tokens: Sequence[np.ndarray], pieces: str) -> UnitTable:
    """Units of sentences from the word ([P], -1 for none) of each of their tokens."""
    rows: list[list[int]] = []
    lengths = []
    for words in tokens:
        places: list[list[int]] = [[] for _ in range(int(words.max(initial=-1)) + 1)]
        for place, word in enumerate(words.tolist()):
            if word >= 0 and not (pieces == "first" and places[word]):
                places[word].append(place)
        rows += places
        lengths.append(len(places))
    most = max((len(places) for places in rows), default=1)
    filled = [places + [-1] * (most - len(places)) for places in rows]
    return UnitTable(
        torch.tensor(filled, dtype=torch.int64).view(-1, most), torch.tensor(lengths, dtype=torch.int64)[:, None]
    )


def _segment_table(sequences: Sequence[Sequence[int | None]]) -> UnitTable:
    """Units of jointly encoded pairs from the text (0, 1, or None for special tokens) of each of their tokens.

    A text of which the tokenizer leaves nothing is read at the first special token.
    """
    tokens = [
        [[k for k, text in enumerate(row) if text == part] or [row.index(None)] for part in (0, 1)] for row in sequences
    ]
    return UnitTable(
        torch.tensor([place for pair in tokens for part in pair for place in part], dtype=torch.int64)[:, None],
        torch.tensor([[len(part) for part in pair] for pair in tokens], dtype=torch.int64),
    )


def _classification_table(lengths: Tensor, place: int) -> UnitTable:
    """The classification token as the one unit of each input, of these lengths ([I]), at its start or its end (-1)."""
    tokens = torch.zeros_like(lengths) if place == 0 else lengths + place
    return UnitTable(tokens[:, None], torch.ones_like(lengths)[:, None])


def _cut(pieces: WordPieces, max_length: int) -> WordPieces:
    """The first words of a sentence that fit, with the special tokens around them; of a huge first word, its start."""
    if len(pieces.input_ids) <= max_length:
        return pieces
    special = pieces.words < 0
    room = max_length - int(special.sum())
    inside = np.flatnonzero(~special)
    counts = np.bincount(pieces.words[inside])
    whole = int(np.searchsorted(np.cumsum(counts), room, side="right"))
    kept = special.copy()
    kept[inside[: room if whole == 0 else int(counts[:whole].sum())]] = True
    places = np.flatnonzero(kept)
    return WordPieces(
        [pieces.input_ids[k] for k in places], [pieces.token_type_ids[k] for k in places], pieces.words[places]
    )


def answers(examples: Examples, kept: Tensor) -> tuple[Targets, Tensor | None]:
    """Targets of examples, and the spans that they mark.

    Args:
        kept: [N] words of each sentence that were kept: the others have no target, and a span ends at the last one.
    """
    if examples.labels_words:
        labels = examples.labels[rows_of_parts(torch.from_numpy(examples.offsets[:-1]), kept).numpy()]
        return Targets(targets_of(labels), kept), None
    spans = None if examples.spans is None else _reachable(torch.from_numpy(examples.spans), kept)
    return Targets(targets_of(examples.labels)), spans


def _of_words(inputs: TokenisedExamples | ElmoInputs, table: UnitTable | None, examples: Examples) -> UnitExamples:
    """Sentences of words, as far as they were kept."""
    return UnitExamples(inputs, 1, table, *answers(examples, inputs.lengths if table is None else table.lengths[:, 0]))


def _interleaved(examples: Examples) -> list[str]:
    """Both texts of each pair, one after the other."""
    assert examples.pairs is not None
    return [text for pair in zip(examples.texts, examples.pairs, strict=True) for text in pair]


def _reachable(spans: Tensor, kept: Tensor) -> Tensor:
    """Spans within the words ([N]) that were kept; what lies behind them is read at the last one."""
    last = kept[:, None]
    start, end = torch.minimum(spans[:, :, 0], last - 1), torch.minimum(spans[:, :, 1], last)
    return torch.where(spans >= 0, torch.stack([start, end], dim=2), spans)


def pieces_as_units(
    sentences: Sequence[WordPieces], pieces: str, position_offset: int, truncated: int = 0
) -> tuple[TokenisedExamples, UnitTable]:
    """Tokenised sentences as inputs of an encoder, and their words as units: the `first` piece or the `mean` of all."""
    ids, types = [one.input_ids for one in sentences], [one.token_type_ids for one in sentences]
    inputs = flat_examples(ids, types, torch.zeros(len(sentences)), position_offset, truncated)
    return inputs, _word_table([one.words for one in sentences], pieces)


def tokenised_units(
    tokenizer: Any, examples: Examples, layout: Layout, max_length: int, position_offset: int
) -> UnitExamples:
    """Examples of an encoder of transformers.

    Words that do not fit into `max_length` tokens are cut; `truncated` counts their sentences.

    Args:
        examples: What was prepared.
        layout: What the head reads of it.
        position_offset: What the encoder adds to positions (RoBERTa).
    """
    if examples.words is not None:
        assert layout.pieces is not None
        whole = [tokenise_words(tokenizer, words) for words in examples.words]
        cut = [_cut(pieces, max_length) for pieces in whole]
        truncated = sum(len(a.input_ids) > len(b.input_ids) for a, b in zip(whole, cut, strict=True))
        return _of_words(*pieces_as_units(cut, layout.pieces, position_offset, truncated), examples)
    texts, pairs = _interleaved(examples) if layout.separate else examples.texts, examples.pairs
    encoded = tokenizer(texts, None if layout.separate else pairs, truncation=True, max_length=max_length)
    inputs = examples_of(encoded, torch.zeros(len(texts)), position_offset)
    table = None
    if layout.units == "segments":
        table = _segment_table([encoding.sequence_ids for encoding in encoded.encodings])
    elif layout.units == "classification":
        table = _classification_table(inputs.lengths, classification_place(tokenizer))
    return UnitExamples(inputs, 2 if layout.separate else 1, table, Targets(targets_of(examples.labels)), None)


def elmo_units(characters: int, examples: Examples, layout: Layout, max_length: int) -> UnitExamples:
    """Examples of ELMo; `characters` are the ids of a word. Texts come apart into words by `split_words`."""
    if examples.words is not None:
        return _of_words(elmo_inputs(examples.words, max_length, characters), None, examples)
    texts = _interleaved(examples) if layout.separate else examples.texts
    inputs = elmo_inputs([split_words(text) or [text] for text in texts], max_length, characters)
    return UnitExamples(inputs, 2 if layout.separate else 1, None, Targets(targets_of(examples.labels)), None)


def units_of(model: Pretrained | PretrainedElmo, examples: Examples, layout: Layout, max_length: int) -> UnitExamples:
    """Examples as a model reads them."""
    if isinstance(model, PretrainedElmo):
        return elmo_units(model.characters, examples, layout, max_length)
    return tokenised_units(model.tokenizer, examples, layout, max_length, model.position_offset)

"""What the head reads of an encoder: words of pieces, segments of pairs, pairs of their own, and what is cut off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from transfer_atlas.layout import Layout
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.packing import PackedBatch
from transfer_atlas.models.units import UnitBatch
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.unit_examples import UnitExamples, elmo_units, tokenised_units

CPU = torch.device("cpu")
JOINT = Layout("tokens", False, None, None)
SEPARATE = Layout("tokens", True, None, None)
SEGMENTS = Layout("segments", False, None, None)


def words(pieces: str = "first") -> Layout:
    return Layout("words", False, pieces, None)


def labelled(*sentences: str, spans: list | None = None) -> Examples:
    """Sentences of words; the label of a word is its place in the sentence."""
    split = [sentence.split() for sentence in sentences]
    labels = np.arange(len(split)) if spans else np.array([k for one in split for k in range(len(one))])
    marked = None if spans is None else np.array(spans, dtype=np.int64)
    ids = [f"t:{row}" for row in range(len(split))]
    return Examples(ids, list(sentences), None, labels, words=split, spans=marked)


def pairs() -> Examples:
    return Examples(["a", "b"], ["w1 w2 w3", "w4"], ["w5", "w6 w7"], np.array([0, 1]))


@pytest.fixture
def units(load: Callable[..., Pretrained]) -> Callable[..., UnitExamples]:
    def of(examples: Examples, layout: Layout, max_length: int = 32, kind: str = "bert") -> UnitExamples:
        model = load(kind)
        return tokenised_units(model.tokenizer, examples, layout, max_length, model.position_offset)

    return of


def ids_of_units(batch: UnitBatch) -> list[list[list[int]]]:
    """Token ids of each unit of each sequence of a batch."""
    assert isinstance(batch.inputs, PackedBatch)
    ids = batch.inputs.input_ids[0][: batch.inputs.tokens]
    tokens = torch.arange(len(ids))[:, None] if batch.units.tokens is None else batch.units.tokens
    flat = [[int(ids[place]) for place in unit if place >= 0] for unit in tokens]
    return [[flat.pop(0) for _ in range(length)] for length in batch.units.lengths.tolist()]


def test_words_are_read_at_their_first_piece(units: Callable, load: Callable) -> None:
    examples = units(labelled("w1 w2.w3", "w4"), words())
    w = {k: load("bert").tokenizer.convert_tokens_to_ids(f"w{k}") for k in range(1, 5)}
    assert ids_of_units(examples.batch(torch.tensor([1, 0]), CPU)) == [[[w[4]]], [[w[1]], [w[2]]]]


def test_words_are_read_at_all_pieces(units: Callable, load: Callable) -> None:
    examples = units(labelled("w1 w2.w3", "w4"), words("mean"))
    tokenizer = load("bert").tokenizer
    parts = tokenizer.convert_tokens_to_ids(["w1", "w2", ".", "w3"])
    assert ids_of_units(examples.batch(torch.tensor([0]), CPU)) == [[[parts[0]], parts[1:]]]


def test_the_state_of_a_word_is_the_mean_of_its_pieces(units: Callable) -> None:
    batch = units(labelled("w4", "w1 w2.w3"), words("mean")).batch(torch.tensor([0, 1]), CPU)
    states = torch.randn(batch.inputs.tokens, 5, generator=torch.Generator().manual_seed(1))
    found = batch.units.read([states, 2 * states])
    # [CLS] w4 [SEP] [CLS] w1 w2 . w3 [SEP]
    expected = torch.stack([states[1], states[4], states[5:8].mean(0)])
    torch.testing.assert_close(found.states, torch.stack([expected, 2 * expected]))
    assert found.lengths.tolist() == [1, 2]


def test_the_mean_of_pieces_passes_gradients_to_each(units: Callable) -> None:
    batch = units(labelled("w1 w2.w3"), words("mean")).batch(torch.tensor([0]), CPU)
    states = torch.randn(batch.inputs.tokens, 2, requires_grad=True)
    batch.units.read([states]).states.sum().backward()
    assert states.grad is not None
    torch.testing.assert_close(states.grad[:, 0], torch.tensor([0, 1, 1 / 3, 1 / 3, 1 / 3, 0]))


def test_labels_follow_their_words(units: Callable) -> None:
    examples = units(labelled("w1 w2 w3", "w4", "w5 w6"), words())
    rows = torch.tensor([2, 0])
    assert examples.targets_of(rows, CPU).tolist() == [0, 1, 0, 1, 2]
    assert examples.units(rows).tolist() == [2, 3]
    part = examples.take(np.array([2, 0]))
    assert part.targets.values.tolist() == [0, 1, 0, 1, 2]
    assert ids_of_units(part.batch(torch.arange(2), CPU)) == ids_of_units(examples.batch(rows, CPU))
    assert part.sizes().tolist() == [4, 5]


def test_words_that_do_not_fit_are_cut_with_their_labels(units: Callable) -> None:
    """[CLS], [SEP] and four pieces fit: a word of three pieces that would be the third to begin is left out whole."""
    examples = units(labelled("w1 w2 w3.w4 w5", "w1 w2"), words(), max_length=6)
    assert examples.truncated == 1
    assert examples.units(torch.arange(2)).tolist() == [2, 2]
    assert examples.targets_of(torch.tensor([0]), CPU).tolist() == [0, 1]
    batch = examples.batch(torch.tensor([0]), CPU)
    assert batch.inputs.input_ids[0, -1 - batch.inputs.packing.filler].item() != 0
    assert batch.inputs.tokens == 4


def test_of_a_first_word_that_is_too_long_the_start_is_read(units: Callable) -> None:
    examples = units(labelled("w1.w2.w3.w4.w5 w6"), words(), max_length=6)
    assert (examples.truncated, examples.units(torch.tensor([0])).tolist()) == (1, [1])
    assert examples.batch(torch.tensor([0]), CPU).inputs.tokens == 6


def test_spans_are_read_as_far_as_words_were_kept(units: Callable) -> None:
    spans = [[[0, 2], [3, 5]], [[1, 2], [-1, -1]]]
    examples = units(labelled("w1 w2 w3 w4 w5", "w1 w2", spans=spans), words(), max_length=5)
    batch = examples.batch(torch.tensor([1, 0]), CPU)
    assert batch.units.spans is not None
    assert batch.units.spans.tolist() == [[[1, 2], [-1, -1]], [[0, 2], [2, 3]]]
    assert examples.targets_of(torch.tensor([1, 0]), CPU).tolist() == [1, 0]


def test_texts_of_a_pair_of_their_own(units: Callable) -> None:
    examples = units(pairs(), SEPARATE)
    assert len(examples) == 2
    batch = examples.batch(torch.tensor([1]), CPU)
    assert batch.units.lengths.tolist() == [3, 4]
    assert examples.sizes().tolist() == [5 + 3, 3 + 4]
    assert ids_of_units(examples.take(np.array([1])).batch(torch.tensor([0]), CPU)) == ids_of_units(batch)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_segments_of_a_joint_pair_have_no_special_tokens(kind: str, units: Callable, load: Callable) -> None:
    examples = units(pairs(), SEGMENTS, kind=kind)
    first, second, third, fourth = ids_of_units(examples.batch(torch.tensor([0, 1]), CPU))
    tokenizer = load(kind).tokenizer
    texts = [tokenizer.convert_ids_to_tokens([t for unit in part for t in unit]) for part in (first, second, third)]
    assert texts == [["w1", "w2", "w3"], ["w5"], ["w4"]]
    assert len(fourth) == 2


def test_a_text_of_which_nothing_is_left_is_read_at_a_special_token(units: Callable) -> None:
    """BERT drops zero-width characters; a sequence without units has no mean and nothing to attend to."""
    examples = units(Examples(["a"], ["w1 w2"], ["\u200b"], np.array([0])), SEGMENTS)
    batch = examples.batch(torch.tensor([0]), CPU)
    assert batch.units.lengths.tolist() == [2, 1]
    assert ids_of_units(batch)[1] == [[int(batch.inputs.input_ids[0, 0])]]


def test_a_word_of_many_pieces_widens_its_own_batch_alone(units: Callable) -> None:
    examples = units(labelled("w1", "w1.w2.w3.w4", "w5 w6.w7"), words("mean"))
    for rows, width in (([0], 1), ([2, 0], 3), ([1, 0], 7)):
        batch = examples.batch(torch.tensor(rows), CPU)
        assert batch.units.tokens is not None
        assert batch.units.tokens.shape[1] == width


def test_a_joint_pair_is_one_sequence_of_all_tokens(units: Callable) -> None:
    batch = units(pairs(), JOINT).batch(torch.tensor([0, 1]), CPU)
    assert batch.units.tokens is None
    assert batch.units.lengths.tolist() == [7, 6]


def test_elmo_reads_the_words(units: Callable) -> None:
    examples = elmo_units(50, labelled("w1 w2 w3", "w4"), words(), 2)
    assert examples.truncated == 1
    assert examples.targets_of(torch.arange(2), CPU).tolist() == [0, 1, 0]
    assert examples.batch(torch.tensor([1, 0]), CPU).units.lengths.tolist() == [1, 2]


def test_elmo_reads_texts_one_by_one() -> None:
    examples = elmo_units(50, pairs(), SEPARATE, 9)
    assert examples.batch(torch.tensor([1, 0]), CPU).units.lengths.tolist() == [1, 2, 3, 1]


def test_odd_unicode_words_keep_their_labels(units: Callable) -> None:
    sentence = "w1 e\u0301 \U0001f468\u200d\U0001f469 \u200b \u05d0\u05d1 w2"
    for pieces in ("first", "mean"):
        examples = units(labelled(sentence), words(pieces))
        assert examples.targets_of(torch.tensor([0]), CPU).tolist() == list(range(len(sentence.split())))


def test_batches_are_the_same_in_any_company(units: Callable) -> None:
    examples = units(labelled("w1 w2.w3", "w4", "w5 w6 w7"), words("mean"))

    def read(rows: list[int]) -> Tensor:
        batch = examples.batch(torch.tensor(rows), CPU)
        ids = batch.inputs.input_ids[0][: batch.inputs.tokens]
        return batch.units.read([ids[:, None].float()]).states[0, :, 0]

    assert torch.equal(read([0, 1, 2]), torch.cat([read([0]), read([1]), read([2])]))

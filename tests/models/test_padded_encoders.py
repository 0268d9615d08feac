"""Encoders that cannot be packed run as transformers runs them, on padded blocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel

from transfer_atlas.errors import UserError
from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.encoder import PADDED_ONLY, Pretrained, load_pretrained, transformer_layers
from transfer_atlas.models.encoding import PaddedEncoding, encoding_of
from transfer_atlas.models.packing import PackedBatch
from transfer_atlas.models.vocabulary import compact_copy, holding, word_embeddings
from transfer_atlas.settings import Engine
from transfer_atlas.training.token_examples import TokenisedExamples, tokenise

CPU = torch.device("cpu")
# No gradient reaches what only pretraining used.
UNREACHED = {"xlnet": {"mask_emb"}, "mpnet": set(), "distilbert": set()}

Draw = Callable[..., list[str]]
Make = Callable[..., Path]
Load = Callable[..., Pretrained]

pytestmark = pytest.mark.parametrize("kind", PADDED_ONLY)


@pytest.fixture
def texts(sentences: Draw) -> tuple[list[str], list[str]]:
    """Text pairs of many lengths, in no order, enough for several blocks."""
    return sentences(19, seed=1, longest=20), sentences(19, seed=2, longest=20)


def examples_of(pretrained: Pretrained, texts: tuple[list[str], list[str]]) -> TokenisedExamples:
    labels = np.zeros(len(texts[0]), dtype=np.int64)
    return tokenise(pretrained.tokenizer, *texts, labels, 64, pretrained.position_offset)


def batch_of(examples: TokenisedExamples) -> PackedBatch:
    return examples.batch(torch.arange(len(examples)), CPU)


def gradients(model: nn.Module, states: Tensor) -> dict[str, Tensor | None]:
    """Gradients of all weights for a loss that weighs every element of the states differently."""
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(5))
    (states * weights).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if not name.startswith("pooler.")}


def test_equals_the_stock_model_text_by_text(kind: str, make_encoder: Make, texts: tuple[list[str], list[str]]) -> None:
    """Each text alone, without padding, in transformers' own model: every layer's states and all gradients."""
    folder = make_encoder(kind)
    pretrained = load_pretrained(folder, layers=3)
    stock = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    encoder = pretrained.encoder.eval()
    encoding = encoding_of(encoder, Engine())
    assert isinstance(encoding, PaddedEncoding)

    found = encoding(batch_of(examples_of(pretrained, texts)))

    alone = [
        stock(**pretrained.tokenizer(text, pair, return_tensors="pt"), output_hidden_states=True).hidden_states
        for text, pair in zip(*texts, strict=True)
    ]
    expected = [torch.cat([layers[index][0] for layers in alone]) for index in range(4)]
    assert len(found) == len(expected) == 1 + len(transformer_layers(encoder))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=5e-5)
    found_gradients, expected_gradients = gradients(encoder, found[-1]), gradients(stock, expected[-1])
    assert {name for name, gradient in expected_gradients.items() if gradient is None} == UNREACHED[kind]
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        if gradient is None:
            assert found_gradients[name] is None
            continue
        largest = max(float(gradient.abs().max()), 1.0)
        torch.testing.assert_close(found_gradients[name], gradient, rtol=0, atol=1e-4 * largest, msg=name)


def test_stops_at_a_layer_and_starts_at_the_embeddings_only(
    kind: str, load: Load, texts: tuple[list[str], list[str]]
) -> None:
    pretrained = load(kind)
    encoding, batch = encoding_of(pretrained.encoder.eval(), Engine()), batch_of(examples_of(pretrained, texts))
    assert torch.equal(encoding(batch, last=1)[-1], encoding(batch)[1])
    assert not encoding.starts_anywhere
    with pytest.raises(NotImplementedError):
        encoding(batch, first=1)


def test_dropout_comes_from_the_stream(kind: str, load: Load, texts: tuple[list[str], list[str]]) -> None:
    pretrained = load(kind)
    encoder, batch = pretrained.encoder.train(), batch_of(examples_of(pretrained, texts))
    encoding = encoding_of(encoder, Engine())

    def states(seed: int) -> Tensor:
        give_stream(encoder, torch.Generator().manual_seed(seed))
        return encoding(batch)[-1].detach()

    before = torch.get_rng_state()
    first, again, other = states(1), states(1), states(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-2)
    encoder.eval()
    assert not torch.allclose(first, states(1), atol=1e-2)


def test_a_compacted_vocabulary_changes_no_state(kind: str, load: Load, texts: tuple[list[str], list[str]]) -> None:
    """Ids that compaction gives are no padding and make no positions."""
    pretrained = load(kind)
    examples = examples_of(pretrained, texts)
    # Without id 0 and 1, so that used words get the ids that padding and unknown words had.
    used = examples.vocabulary()
    encoder, vocabulary = compact_copy(pretrained.encoder.eval(), used)
    compacted = examples.with_ids(vocabulary.lookup())
    padding = pretrained.encoder.config.pad_token_id
    assert int(used[padding]) != padding and padding in compacted.input_ids

    expected = encoding_of(pretrained.encoder, Engine())(batch_of(examples))[-1]

    encoding = encoding_of(encoder, Engine())
    assert torch.equal(encoding(batch_of(compacted))[-1], expected)
    with holding(encoder, vocabulary, used, word_embeddings(pretrained.encoder)[used]):
        assert torch.equal(encoding(batch_of(compacted))[-1], expected)


def test_length_is_limited_where_positions_are(kind: str, make_encoder: Make) -> None:
    folder = make_encoder(kind)
    if kind == "xlnet":
        load_pretrained(folder, max_length=512)
        return
    with pytest.raises(UserError, match=r"positions, but the settings say tasks\.<name>\.max_length: 512"):
        load_pretrained(folder, max_length=512)

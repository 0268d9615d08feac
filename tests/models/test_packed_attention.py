from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel

from transfer_atlas.models.dropout import StreamDropout, give_stream
from transfer_atlas.models.encoder import PACKABLE, Pretrained, load_pretrained
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.packed_attention import attend
from transfer_atlas.models.packing import PackedBatch, Packing
from transfer_atlas.settings import Engine
from transfer_atlas.training.token_examples import tokenise

Draw = Callable[..., list[str]]
Make = Callable[..., Path]
Load = Callable[..., Pretrained]

CPU = torch.device("cpu")
TOLERANCES = {torch.float32: {"rtol": 1e-4, "atol": 2e-5}, torch.float64: {"rtol": 1e-9, "atol": 1e-11}}
# More texts than attend in one padded view, in no order of length, one of them without a word.
BATCHES = {
    "different lengths": [5, 1, 12, 3, 3, 9, 2, 7, 12, 1, 4, 0, 6, 8, 2, 11, 5, 10, 3],
    "equal lengths": [6] * 11,
    "one text": [9],
    "one long text among short ones": [1, 1, 1, 40, 1],
}


ENGINES = {
    "fused": Engine(),
    "library": Engine(layers="library"),
    "padded": Engine(batching="padded"),
}


def encode(encoder: nn.Module, batch: PackedBatch, engine: Engine = ENGINES["fused"]) -> Tensor:
    """States of the highest layer, [T, H]."""
    return encoding_of(encoder, engine)(batch)[-1]


def stock(folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    """The same weights in transformers' own model with its own padded attention."""
    return AutoModel.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def packed_batch(
    pretrained: Pretrained, texts: list[str], pairs: list[str] | None, device: torch.device = CPU
) -> PackedBatch:
    labels = np.zeros(len(texts), dtype=np.int64)
    examples = tokenise(pretrained.tokenizer, texts, pairs, labels, 64, pretrained.position_offset)
    return examples.batch(torch.arange(len(texts)), device)


def padded_states(model: nn.Module, tokenizer: Any, texts: list[str], pairs: list[str] | None) -> Tensor:
    """Last states of the real tokens, text by text, [T, H]."""
    inputs = tokenizer(texts, pairs, padding=True, return_tensors="pt").to(next(model.parameters()).device)
    return model(**inputs).last_hidden_state[inputs["attention_mask"].bool()]


def gradients(model: nn.Module, states: Tensor) -> dict[str, Tensor | None]:
    """Gradients of all weights for a loss that weighs every element of the states differently."""
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    model.zero_grad()
    (states * weights.to(states)).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if not name.startswith("pooler.")}


def activate_dropout_that_drops_nothing(encoder: nn.Module) -> None:
    """Take the path of training; a probability below 2^-17 is rounded to 0."""
    encoder.train()
    for module in encoder.modules():
        if isinstance(module, StreamDropout):
            module.p = 1e-12
    give_stream(encoder, torch.Generator().manual_seed(1))


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "dropout active"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("lengths", BATCHES.values(), ids=BATCHES.keys())
@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_equals_padded_attention_forward_and_backward(
    engine: Engine,
    kind: str,
    lengths: list[int],
    dtype: torch.dtype,
    training: bool,
    make_encoder: Make,
    sentences: Draw,
) -> None:
    folder = make_encoder(kind)
    pretrained, reference = load_pretrained(folder), stock(folder, dtype)
    encoder = pretrained.encoder.eval().to(dtype)
    tolerance = TOLERANCES[dtype]
    if training:
        activate_dropout_that_drops_nothing(encoder)
    texts = [(sentences(1, seed=k, shortest=n, longest=n) or [""])[0] for k, n in enumerate(lengths)]

    found = encode(encoder, packed_batch(pretrained, texts, None), engine)
    expected = padded_states(reference, pretrained.tokenizer, texts, None)

    torch.testing.assert_close(found, expected, **tolerance)
    found_gradients, expected_gradients = gradients(encoder, found), gradients(reference, expected)
    assert found_gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        assert gradient is not None, name
        largest = float(gradient.abs().max())
        # Relative to the largest element: some gradients (of the keys' biases) are zero but for rounding.
        torch.testing.assert_close(
            found_gradients[name], gradient, rtol=0, atol=tolerance["rtol"] * max(largest, 1.0), msg=name
        )


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_pairs_have_the_token_types_of_the_stock_model(kind: str, make_encoder: Make, sentences: Draw) -> None:
    folder = make_encoder(kind)
    pretrained = load_pretrained(folder)
    texts, pairs = sentences(10, seed=1), sentences(10, seed=2)
    batch = packed_batch(pretrained, texts, pairs)

    found = encode(pretrained.encoder.eval(), batch)

    assert batch.token_type_ids.unique().tolist() == ([0, 1] if kind == "bert" else [0])
    expected = padded_states(stock(folder), pretrained.tokenizer, texts, pairs)
    torch.testing.assert_close(found, expected, **TOLERANCES[torch.float32])


@pytest.mark.parametrize("kind", PACKABLE)
def test_every_supported_architecture(kind: str, make_encoder: Make, sentences: Draw) -> None:
    extra = {"embedding_size": 24} if kind == "electra" else {}
    folder = make_encoder(kind, **extra)
    pretrained, texts = load_pretrained(folder), sentences(12)

    found = encode(pretrained.encoder.eval(), packed_batch(pretrained, texts, None))

    expected = padded_states(stock(folder), pretrained.tokenizer, texts, None)
    torch.testing.assert_close(found, expected, **TOLERANCES[torch.float32])


def test_positions_begin_behind_the_padding_index_in_roberta(load: Load, sentences: Draw) -> None:
    for kind, first in (("bert", 0), ("roberta", 2)):
        batch = packed_batch(load(kind), ["w1 w2", "w3"], None)
        positions = batch.position_ids[0, : batch.tokens].tolist()
        assert positions == [first, first + 1, first + 2, first + 3, first, first + 1, first + 2]


def test_texts_do_not_see_each_other(load: Load) -> None:
    pretrained = load()
    encoder = pretrained.encoder.eval()

    before = encode(encoder, packed_batch(pretrained, ["w1 w2 w3", "w4 w5"], None))
    after = encode(encoder, packed_batch(pretrained, ["w1 w2 w3", "w80 w81"], None))

    assert torch.equal(before[:5], after[:5])
    assert not torch.allclose(before[5:], after[5:])


def test_bfloat16_is_no_worse_than_stock_attention_in_bfloat16(make_encoder: Make, sentences: Draw) -> None:
    """Stated tolerance: mean error within 1.5 times that of padded attention, below 2 % of the states' deviation."""
    folder = make_encoder()
    pretrained, reference, texts = load_pretrained(folder), stock(folder), sentences(24)
    encoder, batch = pretrained.encoder.eval(), packed_batch(pretrained, texts, None)
    with torch.no_grad():
        exact = padded_states(reference, pretrained.tokenizer, texts, None)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = encode(encoder, batch)
            padded = padded_states(reference, pretrained.tokenizer, texts, None)
    error, stock_error = (float((states.float() - exact).abs().mean()) for states in (found, padded))
    assert 0 < error < 1.5 * stock_error
    assert error < 0.02 * float(exact.std())


def test_softmax_of_bfloat16_scores_is_in_float32() -> None:
    packing = Packing(torch.tensor([12, 16]), CPU)
    qkv = torch.randn(packing.tokens + packing.filler, 3 * 8, generator=torch.Generator().manual_seed(0)).bfloat16()

    _, saved = attend(qkv, packing, 2, 0.5, None)

    for softmax, weights in zip(saved.softmax, saved.weights, strict=True):
        assert (softmax.dtype, weights.dtype) == (torch.float32, torch.bfloat16)
        assert float((softmax.sum(-1) - 1).abs().max()) < 1e-6


def test_attention_weights_are_dropped_in_training(load: Load, sentences: Draw) -> None:
    pretrained = load(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.4)
    encoder, batch = pretrained.encoder, packed_batch(pretrained, sentences(10), None)

    def states(seed: int) -> Tensor:
        give_stream(encoder, torch.Generator().manual_seed(seed))
        return encode(encoder, batch).detach()

    encoder.train()
    first, again, other = states(1), states(1), states(2)
    encoder.eval()

    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-2)
    assert not torch.allclose(first, states(1), atol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_equals_padded_attention_on_cuda(kind: str, make_encoder: Make, sentences: Draw) -> None:
    folder = make_encoder(kind)
    pretrained, reference = load_pretrained(folder), stock(folder, torch.float64).cuda()
    encoder = pretrained.encoder.eval().double().cuda()
    texts = sentences(19)

    found = encode(encoder, packed_batch(pretrained, texts, None, torch.device("cuda")))
    expected = padded_states(reference, pretrained.tokenizer, texts, None)

    torch.testing.assert_close(found, expected, **TOLERANCES[torch.float64])
    found_gradients = gradients(encoder, found)
    for name, gradient in gradients(reference, expected).items():
        torch.testing.assert_close(found_gradients[name], gradient, rtol=1e-8, atol=1e-8, msg=name)

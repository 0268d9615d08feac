"""The written-out layer: its gradients against finite differences, its results against the library's layer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel, BertConfig
from transformers.models.bert.modeling_bert import BertLayer

from transfer_atlas.models.dropout import give_stream, replace_dropout
from transfer_atlas.models.encoder import Pretrained, load_pretrained, transformer_layers
from transfer_atlas.models.encoding import Encoding, FusedEncoding, LibraryEncoding, encoding_of
from transfer_atlas.models.packed_attention import PACKED
from transfer_atlas.models.packing import PackedBatch, Packing
from transfer_atlas.models.transformer_layer import LayerWeights, is_fusible, transformer_layer
from transfer_atlas.settings import Engine
from transfer_atlas.training.token_examples import tokenise

CPU = torch.device("cpu")
LIBRARY = Engine(layers="library")
Draw = Callable[..., list[str]]
Make = Callable[..., Path]


class Repeatable(torch.autograd.Function):
    """A function whose backward pass runs it again: the layer gives up what it saved, and gradcheck asks twice."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        ctx.function, ctx.inputs = function, inputs
        return function(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            output = ctx.function(*ctx.inputs)
        return None, *torch.autograd.grad(output, ctx.inputs, gradients)


def tiny_layer(dropout: float) -> nn.Module:
    """A layer of transformers with 8 features and 2 heads, in float64."""
    config = BertConfig(hidden_size=8, num_attention_heads=2, intermediate_size=6, hidden_dropout_prob=dropout)
    config.attention_probs_dropout_prob = dropout
    config._attn_implementation = PACKED
    layer = BertLayer(config).double().train()
    random = torch.Generator().manual_seed(3)
    for parameter in layer.parameters():
        parameter.data = torch.randn(parameter.shape, generator=random, dtype=torch.float64) * 0.5
    replace_dropout(layer)
    return layer


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_are_those_of_finite_differences(dropout: float) -> None:
    """Of the states and every parameter; the stream begins anew at each call, so that all see the same masks."""
    layer, packing = tiny_layer(dropout), Packing(torch.tensor([3, 1]), CPU)
    weights = LayerWeights(layer)
    random = torch.Generator().manual_seed(4)
    states = torch.randn(packing.tokens + packing.filler, 8, generator=random, dtype=torch.float64)
    states.requires_grad_(True)

    def run(states: Tensor, *_parameters: Tensor) -> Tensor:
        give_stream(layer, torch.Generator().manual_seed(5))
        return transformer_layer(states, packing, weights)[: packing.tokens]

    assert len(weights.parameters) == len(list(layer.parameters()))
    inputs = (states, *weights.parameters)
    assert torch.autograd.gradcheck(lambda *given: Repeatable.apply(run, *given), inputs)
    if dropout:
        plain = layer.eval() and run(states)
        assert not torch.allclose(layer.train() and run(states), plain), "dropout was not on"


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_gradients_are_those_of_the_library_layer(dropout: float) -> None:
    """With dropout too: both draw the same masks in the same order (the library's are scaled in float32)."""
    layer, packing = tiny_layer(dropout), Packing(torch.tensor([9, 4, 17]), CPU)
    random = torch.Generator().manual_seed(4)
    shape = (packing.tokens + packing.filler, 8)
    states = torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_(True)
    upstream = torch.randn(packing.tokens, 8, generator=random, dtype=torch.float64)
    weights = LayerWeights(layer)
    found = []
    for run in (
        lambda: transformer_layer(states, packing, weights),
        lambda: layer(states[None], packing=packing)[0],
    ):
        give_stream(layer, torch.Generator().manual_seed(5))
        output = run()[: packing.tokens]
        found.append([output, *torch.autograd.grad(output, [states, *weights.parameters], upstream)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5 if dropout else 1e-9, atol=1e-6 if dropout else 1e-11)


def test_only_what_is_trained_gets_gradients() -> None:
    """States that need none get none; this saves the products of the lowest trained layer."""
    layer, packing = tiny_layer(0.0), Packing(torch.tensor([5]), CPU)
    weights, states = LayerWeights(layer), torch.ones(packing.tokens + packing.filler, 8, dtype=torch.float64)
    transformer_layer(states, packing, weights).square().sum().backward()
    assert states.grad is None
    assert all(parameter.grad is not None for parameter in weights.parameters)
    layer.requires_grad_(False)
    assert not transformer_layer(states, packing, weights).requires_grad


def test_weights_are_read_at_every_pass() -> None:
    """Optimisers change them in place."""
    layer, packing = tiny_layer(0.0), Packing(torch.tensor([5]), CPU)
    weights, states = LayerWeights(layer), torch.randn(16, 8, generator=torch.Generator().manual_seed(1)).double()
    before = transformer_layer(states, packing, weights)
    with torch.no_grad():
        layer.output.LayerNorm.bias.add_(1.0)
        layer.attention.self.key.weight.mul_(2.0)
    after = transformer_layer(states, packing, weights)
    assert not torch.allclose(before, after - 1.0)
    expected = transformer_layer(states, packing, LayerWeights(layer))
    assert torch.equal(after, expected)


# --- in an encoder -----------------------------------------------------------------------------------------


def batch_of(pretrained: Pretrained, texts: list[str]) -> PackedBatch:
    examples = tokenise(pretrained.tokenizer, texts, None, np.zeros(len(texts), dtype=np.int64), 64, 0)
    return examples.batch(torch.arange(len(texts)), CPU)


def states_and_gradients(
    encoder: nn.Module, encoding: Encoding, batch: PackedBatch, precision: str
) -> tuple[Tensor, Tensor]:
    """States of the highest layer, and all parameters' gradients for a random weighing of them, side by side."""
    encoder.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        states = encoding(batch)[-1]
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(5))
    (states.float() * weights).sum().backward()
    gradients = [parameter.grad.flatten() for parameter in encoder.parameters() if parameter.grad is not None]
    return states.detach().float(), torch.cat(gradients)


def test_bfloat16_is_no_worse_than_the_library_layer_in_bfloat16(
    load: Callable[..., Pretrained], sentences: Draw
) -> None:
    """Stated tolerance: mean errors of states and gradients within 1.2 times the library's, below 3 % of deviation."""
    pretrained = load()
    encoder, batch = pretrained.encoder.eval(), batch_of(pretrained, sentences(24))
    fused, library = FusedEncoding(encoder), LibraryEncoding(encoder)
    exact = states_and_gradients(encoder, library, batch, "float32")
    ours = states_and_gradients(encoder, fused, batch, "bfloat16")
    theirs = states_and_gradients(encoder, library, batch, "bfloat16")
    for true, found, stock in zip(exact, ours, theirs, strict=True):
        error, stock_error = (float((rough - true).abs().mean()) for rough in (found, stock))
        assert 0 < error < 1.2 * stock_error
        assert error < 0.03 * float(true.std())


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_a_layer_with_another_activation_is_the_librarys(activation: str, make_encoder: Make, sentences: Draw) -> None:
    folder, texts = make_encoder("bert", hidden_act=activation), sentences(12)
    pretrained = load_pretrained(folder)
    encoder = pretrained.encoder.eval()
    assert not any(is_fusible(layer) for layer in transformer_layers(encoder))

    encoding = encoding_of(encoder, Engine())

    assert isinstance(encoding, LibraryEncoding)
    stock = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    inputs = pretrained.tokenizer(texts, padding=True, return_tensors="pt")
    expected = stock(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
    torch.testing.assert_close(encoding(batch_of(pretrained, texts))[-1], expected, rtol=1e-4, atol=2e-5)


def test_engines_choose_their_encoding(load: Callable[..., Pretrained]) -> None:
    assert isinstance(encoding_of(load().encoder, Engine()), FusedEncoding)
    assert isinstance(encoding_of(load().encoder, LIBRARY), LibraryEncoding)


@pytest.mark.parametrize("engine", [Engine(), LIBRARY], ids=["fused", "library"])
def test_going_on_from_a_layer(engine: Engine, load: Callable[..., Pretrained], sentences: Draw) -> None:
    """The upper layers on known states are the upper layers of a whole pass, bit by bit."""
    pretrained = load()
    batch = batch_of(pretrained, sentences(9))
    encoding = encoding_of(pretrained.encoder.eval(), engine)
    whole = encoding(batch)
    assert len(whole) == 4
    for layer in range(4):
        below = encoding(batch, last=layer)
        assert len(below) == layer + 1
        filled = nn.functional.pad(below[-1], (0, 0, 0, batch.packing.filler))
        known = PackedBatch(batch.input_ids, batch.token_type_ids, batch.position_ids, batch.packing, filled)
        found = encoding(known, first=layer)
        assert len(found) == 4 - layer
        assert torch.equal(found[-1], whole[-1])

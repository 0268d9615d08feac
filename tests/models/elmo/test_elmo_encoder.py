from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.elmo.characters import read_words
from transfer_atlas.models.elmo.encoder import Elmo, load_elmo

Make = Callable[..., Path]
Sentences = list[list[str]]


@pytest.fixture
def model(make_elmo: Make) -> Elmo:
    return load_elmo(make_elmo(), dropout=0.5)


@torch.no_grad()
def states(model: Elmo, sentences: Sentences) -> list[Tensor]:
    """[layers, words, 2P] of each sentence."""
    layers = torch.stack(model(read_words(sentences, 12)))
    return list(layers.split([len(sentence) for sentence in sentences], dim=1))


def test_layers(model: Elmo, elmo_sentences: Sentences) -> None:
    for sentence, found in zip(elmo_sentences, states(model, elmo_sentences), strict=True):
        assert found.shape == (3, len(sentence), model.hidden_size)
        assert torch.equal(found[0, :, :5], found[0, :, 5:])


def test_a_batch_gives_what_single_sentences_give(model: Elmo, elmo_sentences: Sentences) -> None:
    together = states(model.double(), elmo_sentences)
    for sentence, expected in zip(elmo_sentences, together, strict=True):
        torch.testing.assert_close(states(model, [sentence])[0], expected, rtol=0, atol=1e-13)


def test_order_of_sentences_does_not_matter(model: Elmo, elmo_sentences: Sentences) -> None:
    forward = states(model.double(), elmo_sentences)
    backward = states(model, elmo_sentences[::-1])
    for one, other in zip(forward, backward[::-1], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_many_words_are_convolved_in_parts(model: Elmo, monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [["x" * n, "y"] for n in range(1, 12)]
    whole = states(model.double(), sentences)
    monkeypatch.setattr("transfer_atlas.models.elmo.token_encoder.WORDS_AT_ONCE", 4)
    for one, other in zip(whole, states(model, sentences), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-13)


def test_going_on_in_parts_is_going_on_at_once(model: Elmo, elmo_sentences: Sentences) -> None:
    model.double()
    with torch.no_grad():
        whole, end = model.go_on(read_words(elmo_sentences, 12), None)
        parts, state = [], None
        for sentence in elmo_sentences:
            layers, state = model.go_on(read_words([sentence], 12), state)
            parts.append(torch.stack(layers))
    torch.testing.assert_close(torch.cat(parts, dim=1), torch.stack(whole), rtol=0, atol=1e-13)
    torch.testing.assert_close(state, end, rtol=0, atol=1e-13)


def test_going_on_differs_from_starting_anew(model: Elmo, elmo_sentences: Sentences) -> None:
    """All layers but the lowest know what came before."""
    with torch.no_grad():
        going_on, _ = model.go_on(read_words(elmo_sentences, 12), None)
    anew = torch.cat(states(model, elmo_sentences), dim=1)
    # The first sentence has four words and nothing before it.
    torch.testing.assert_close(torch.stack(going_on)[:, :4], anew[:, :4])
    torch.testing.assert_close(going_on[0], anew[0])
    assert all((going_on[layer][4:] - anew[layer, 4:]).abs().max() > 0.01 for layer in (1, 2))


@pytest.mark.parametrize("sentences", [[], [[]], [[], []]], ids=str)
def test_no_words(model: Elmo, sentences: Sentences) -> None:
    words = read_words(sentences, 12)
    layers, state = model.go_on(words, None)
    assert state is None
    assert [tuple(layer.shape) for layer in (*layers, *model(words))] == [(0, 10)] * 6


def test_gradients_reach_every_parameter(model: Elmo, elmo_sentences: Sentences) -> None:
    model.train()
    give_stream(model, torch.Generator().manual_seed(1))
    sum((layer**2).sum() for layer in model(read_words(elmo_sentences, 12))).backward()  # type: ignore[union-attr]
    assert list(model.parameters())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_of_the_whole_model(model: Elmo, elmo_sentences: Sentences) -> None:
    """Along a random direction in the space of all parameters."""
    model.double()
    words = read_words(elmo_sentences, 12)
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(3, len(words.rows), 10, generator=generator, dtype=torch.float64)
    directions = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in model.parameters()]

    def value() -> Tensor:
        return (torch.stack(model(words)) * weights).sum()

    def move(step: float) -> None:
        with torch.no_grad():
            for parameter, direction in zip(model.parameters(), directions, strict=True):
                parameter.add_(direction, alpha=step)

    gradients = torch.autograd.grad(value(), list(model.parameters()))
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    step = 1e-7
    move(step)
    above = value().item()
    move(-2 * step)
    assert slope == pytest.approx((above - value().item()) / (2 * step), rel=1e-5)


def test_dropout_comes_from_its_stream_alone(model: Elmo, elmo_sentences: Sentences) -> None:
    calm = states(model, elmo_sentences)
    model.train()
    runs = []
    for seed in (1, 1, 2):
        torch.rand(3)  # the global generator must not matter
        give_stream(model, torch.Generator().manual_seed(seed))
        runs.append(torch.cat(states(model, elmo_sentences), dim=1))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0][1], torch.cat(calm, dim=1)[1])
    # The words' own vectors are never dropped out.
    assert torch.equal(runs[0][0], torch.cat(calm, dim=1)[0])


def test_bfloat16_stays_close_and_states_are_float32(model: Elmo, elmo_sentences: Sentences) -> None:
    exact = torch.cat(states(model, elmo_sentences), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = torch.cat(states(model, elmo_sentences), dim=1)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).norm() < 0.05 * exact.norm()


def test_loading_draws_nothing_at_random(make_elmo: Make) -> None:
    before = torch.get_rng_state()
    model = load_elmo(make_elmo())
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert all(parameter.requires_grad and parameter.device.type == "cpu" for parameter in model.parameters())

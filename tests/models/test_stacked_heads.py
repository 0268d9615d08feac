from __future__ import annotations

import pytest
import torch
from torch import Tensor

from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.scalar_mix import ScalarMixMLP
from transfer_atlas.models.stacked_heads import LANE, lanes, stack_heads

FEATURES, LAYERS, HIDDEN, BATCH = 13, 3, 10, 5
CPU = torch.device("cpu")
KINDS = pytest.mark.parametrize("kind", ["linear", "scalar mix"])


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def heads_of(kind: str, probabilities: tuple[float, ...] = (0.0, 0.0, 0.0)) -> list[LinearHead | ScalarMixMLP]:
    """Heads with weights and biases unlike each other's."""
    made: list[LinearHead | ScalarMixMLP] = []
    for seed, p in enumerate(probabilities):
        linear = kind == "linear"
        head = (
            LinearHead(FEATURES, 2, p, stream(1)) if linear else ScalarMixMLP(FEATURES, LAYERS, HIDDEN, 2, p, stream(1))
        )
        with torch.no_grad():
            for parameter in head.parameters():
                parameter.normal_(generator=stream(10 + seed))
        made.append(head)
    return made


def states_of(kind: str, count: int) -> Tensor:
    """What each head reads: [R, B, H] or [R, layers + 1, B, H]."""
    shape = (BATCH, FEATURES) if kind == "linear" else (LAYERS + 1, BATCH, FEATURES)
    return torch.randn(count, *shape, generator=stream(2))


def filled(states: Tensor) -> Tensor:
    """The same, with features and examples filled up; the examples with anything."""
    wider = torch.nn.functional.pad(states, (0, lanes(FEATURES) - FEATURES))
    return torch.cat([wider, 7.0 * wider[..., :1, :].expand(*wider.shape[:-2], lanes(BATCH) - BATCH, -1)], dim=-2)


def alone(head: LinearHead | ScalarMixMLP, states: Tensor) -> Tensor:
    """Scores [B, outputs] of one head."""
    return head(states if isinstance(head, LinearHead) else states.transpose(0, 1))


@KINDS
def test_each_head_has_the_scores_and_gradients_that_it_has_alone(kind: str) -> None:
    heads, states = heads_of(kind), states_of(kind, 3)
    stack = stack_heads(heads)
    scores = stack(filled(states), BATCH)
    assert scores.shape == (3, 2, BATCH)
    scores.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in stack.named_parameters()}
    for place, head in enumerate(heads):
        expected = alone(head, states[place])
        torch.testing.assert_close(scores[place].T, expected, rtol=1e-5, atol=1e-5)
        expected.square().sum().backward()
        for name, parameter in head.named_parameters():
            found = gradients[name][place]
            cut = found[tuple(slice(length) for length in parameter.shape)] if parameter.ndim else found[0]
            torch.testing.assert_close(cut, parameter.grad, rtol=1e-4, atol=1e-3, msg=name)
            # What was filled up stays zero.
            assert found.count_nonzero() == parameter.grad.count_nonzero(), name


@KINDS
def test_each_head_drops_what_its_own_stream_says(kind: str) -> None:
    """Two heads of one seed and probability, one of another probability, one that drops nothing; twice in a row."""
    probabilities, seeds = (0.4, 0.4, 0.7, 0.0), (1, 1, 1, 2)
    heads, states = heads_of(kind, probabilities), states_of(kind, 4)
    stack = stack_heads(heads).train()
    assert len(stack.dropout.give_streams(seeds, CPU)) == 3
    for head, seed in zip(heads, seeds, strict=True):
        give_stream(head.train(), stream(seed))
    for _ in range(2):
        scores = stack(filled(states), BATCH)
        for place, head in enumerate(heads):
            torch.testing.assert_close(scores[place].T, alone(head, states[place]), rtol=1e-5, atol=1e-5)


@KINDS
def test_nothing_drops_in_evaluation(kind: str) -> None:
    heads, states = heads_of(kind, (0.5, 0.5)), states_of(kind, 2)
    stack = stack_heads(heads).eval()
    for place, head in enumerate(heads):
        expected = alone(head.eval(), states[place])
        torch.testing.assert_close(stack(filled(states), BATCH)[place].T, expected, rtol=1e-5, atol=1e-5)


def test_dropout_needs_its_streams() -> None:
    stack = stack_heads(heads_of("linear", (0.5,))).train()
    with pytest.raises(RuntimeError, match="give_streams"):
        stack(filled(states_of("linear", 1)), BATCH)


def test_widths_are_whole_vectors() -> None:
    assert [lanes(width) for width in (1, 16, 17, 384)] == [16, 16, 32, 384]
    for parameter in stack_heads(heads_of("scalar mix")).parameters():
        assert parameter[0].numel() % LANE == 0

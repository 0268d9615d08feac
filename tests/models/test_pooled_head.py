from __future__ import annotations

import pytest
import torch
from torch import Tensor

from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.pooled import PooledHead, Pooling, pool
from transfer_atlas.models.heads.scalar_mix import ScalarMix, ScalarMixMLP
from transfer_atlas.models.sequences import Sequences

POOLINGS: list[Pooling] = ["mean", "first", "max"]


def stream(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(layers: int, lengths: list[int], spans: Tensor | None = None) -> Sequences:
    states = torch.randn(layers, sum(lengths), 6, generator=stream(2))
    return Sequences(states, torch.tensor(lengths), spans)


def pooled_by_hand(units: Tensor, pooling: Pooling) -> Tensor:
    return {"mean": units.mean(0), "first": units[0], "max": units.max(0).values}[pooling]


def head(
    layers: int = 1, pooling: Pooling = "mean", sequences: int = 1, spans: int = 0, hidden: int | None = None
) -> PooledHead:
    return PooledHead(
        6,
        3,
        layers=layers,
        hidden=hidden,
        dropout=0.1,
        pooling=pooling,
        sequences=sequences,
        spans=spans,
        generator=stream(),
    ).eval()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_of_stretches(pooling: Pooling) -> None:
    """Stretches may overlap, and need not cover all units."""
    states = torch.randn(9, 4, generator=stream(3)) - 5  # Below 0, so that no filling is the largest.
    starts, ends = torch.tensor([0, 2, 3, 8]), torch.tensor([3, 3, 7, 9])
    expected = torch.stack([pooled_by_hand(states[a:b], pooling) for a, b in zip(starts, ends, strict=True)])
    torch.testing.assert_close(pool(states, starts, ends, pooling), expected)


def test_a_classification_token_is_its_texts_only_unit() -> None:
    states = torch.randn(4, 2, generator=stream(3))
    starts = torch.tensor([0, 1, 3])
    assert torch.equal(pool(states, starts, starts + 1, "cls"), states[starts])
    with pytest.raises(ValueError, match="the only units"):
        pool(states, starts, torch.tensor([1, 3, 4]), "cls")


def test_the_largest_value_takes_the_whole_gradient() -> None:
    states = torch.tensor([[1.0], [2.0], [3.0], [5.0]], requires_grad=True)
    pool(states, torch.tensor([0, 2]), torch.tensor([2, 3]), "max").sum().backward()
    assert states.grad is not None
    assert states.grad[:, 0].tolist() == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_text_is_scored_as_by_a_linear_head(pooling: Pooling) -> None:
    sequences = drawn(1, [2, 5, 1])
    linear = LinearHead(6, 3, 0.1, stream()).eval()
    found = head(pooling=pooling)
    assert found.state_dict().keys() == linear.state_dict().keys()
    assert all(torch.equal(value, linear.state_dict()[name]) for name, value in found.state_dict().items())
    pooled = torch.stack([pooled_by_hand(units, pooling) for units in sequences.states[0].split([2, 5, 1])])
    torch.testing.assert_close(found(sequences), linear(pooled))


def test_pairs_of_texts_are_compared() -> None:
    sequences = drawn(1, [2, 3, 1, 4])
    found = head(sequences=2)
    u1, v1, u2, v2 = (units.mean(0) for units in sequences.states[0].split([2, 3, 1, 4]))
    read = torch.stack([torch.cat([u, v, (u - v).abs(), u * v]) for u, v in ((u1, v1), (u2, v2))])
    torch.testing.assert_close(found(sequences), found.output(read))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_spans_are_pooled_each_for_itself(pooling: Pooling) -> None:
    spans = torch.tensor([[[1, 3], [0, 1]], [[0, 1], [-1, -1]]])
    sequences = drawn(1, [4, 2], spans)
    found = head(pooling=pooling, spans=2)
    first, second = sequences.states[0].split([4, 2])
    u, v, alone = (pooled_by_hand(units, pooling) for units in (first[1:3], first[0:1], second[0:1]))
    nothing = torch.zeros(6)
    read = torch.stack([torch.cat([u, v, u * v]), torch.cat([alone, nothing, nothing])])
    torch.testing.assert_close(found(sequences), found.output(read))
    one = head(pooling=pooling, spans=1)
    torch.testing.assert_close(one(sequences), one.output(torch.stack([u, alone])))


def test_all_layers_are_mixed_before_a_hidden_layer() -> None:
    """Mixing and mean pooling commute: the head on pooled states of all layers has the same weights and scores."""
    sequences = drawn(4, [2, 5])
    found, reference = head(layers=4, hidden=8), ScalarMixMLP(6, 3, 8, 3, 0.1, stream()).eval()
    with torch.no_grad():
        for mix in (found.mix, reference):
            mix.mix.copy_(torch.tensor([0.3, -1.0, 2.0, 0.0]))
            mix.gamma.fill_(1.7)
    pooled = torch.stack([units.mean(1) for units in sequences.states.split([2, 5], dim=1)])
    torch.testing.assert_close(found(sequences), reference(pooled), rtol=1e-5, atol=1e-6)


def test_a_single_layer_is_not_mixed() -> None:
    states = torch.randn(1, 5, 6, generator=stream(2))
    mix = ScalarMix(1)
    assert torch.equal(mix(states), states[0])
    assert not list(mix.parameters())


def test_the_mix_is_equation_1_of_peters_et_al() -> None:
    states, mix = torch.randn(3, 5, 6, generator=stream(2)), ScalarMix(3)
    torch.testing.assert_close(mix(states), states.mean(0))
    with torch.no_grad():
        mix.mix.copy_(torch.tensor([1.0, 2.0, 3.0]).log())
        mix.gamma.fill_(6.0)
    torch.testing.assert_close(mix(states), states[0] + 2 * states[1] + 3 * states[2])


def test_spans_are_not_marked_in_pairs() -> None:
    with pytest.raises(ValueError, match="spans"):
        head(sequences=2, spans=1)

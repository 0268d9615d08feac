from __future__ import annotations

import torch

from transfer_atlas.models.sequences import Padding, Sequences


def test_padded_view_holds_each_sequence_and_zeros_behind_it() -> None:
    values = torch.arange(1.0, 13.0).view(6, 2)
    padding = Padding(torch.tensor([2, 1, 3]), values.device)
    padded = padding.pad(values)
    assert padding.inside.tolist() == [[True, True, False], [True, False, False], [True, True, True]]
    assert torch.equal(padded[0, :2], values[:2])
    assert torch.equal(padded[1, :1], values[2:3])
    assert torch.equal(padded[2], values[3:])
    assert not padded[~padding.inside].any()
    assert torch.equal(padding.unpad(padded), values)


def test_gradients_go_through_the_view_unchanged() -> None:
    values = torch.randn(6, 2, generator=torch.Generator().manual_seed(1)).requires_grad_()
    padding = Padding(torch.tensor([2, 1, 3]), values.device)
    weights = torch.arange(12.0).view(6, 2)
    (padding.unpad(padding.pad(values)) * weights).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, weights)


def test_sequences_know_their_view() -> None:
    sequences = Sequences(torch.zeros(1, 3, 4), torch.tensor([2, 1]))
    assert sequences.padding.pad(sequences.states[0]).shape == (2, 2, 4)
    assert sequences.padding is sequences.padding

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.heads.lstm import AT_ONCE, BiLstm, StackedBiLstm
from transfer_atlas.models.sequences import Padding

LENGTHS = torch.tensor([3, 7, 1, 5, 5])
# More than are read at once.
MANY = torch.randint(1, 12, (2 * AT_ONCE + 3,), generator=torch.Generator().manual_seed(8))


def stream(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def padded(width: int, lengths: Tensor = LENGTHS) -> tuple[Tensor, Padding]:
    padding = Padding(lengths, torch.device("cpu"))
    return padding.pad(torch.randn(int(lengths.sum()), width, generator=stream(2))), padding


def torchs_own(lstm: BiLstm, inputs: int, hidden: int) -> nn.LSTM:
    """torch's bidirectional LSTM with the weights of `lstm`."""
    weights = dict(lstm.onward.state_dict())
    weights |= {f"{name}_reverse": value for name, value in lstm.homeward.state_dict().items()}
    reference = nn.LSTM(inputs, hidden, bidirectional=True, batch_first=True, device="meta").to_empty(device="cpu")
    reference.load_state_dict(weights)
    return reference


@pytest.mark.parametrize("lengths", [LENGTHS, MANY], ids=["few", "many"])
def test_it_computes_what_torch_does_on_packed_sequences(lengths: Tensor) -> None:
    lstm = BiLstm(6, 4, stream())
    values, padding = padded(6, lengths)
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    packed: PackedSequence = pack_padded_sequence(theirs, lengths, batch_first=True, enforce_sorted=False)
    expected = pad_packed_sequence(torchs_own(lstm, 6, 4)(packed)[0], batch_first=True)[0]
    found = lstm(ours, padding)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    weights = torch.randn(found.shape, generator=stream(3))
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_the_order_of_sequences_does_not_matter_to_a_bit() -> None:
    """Of equally long ones either may be read first, so here no two are."""
    lstm = BiLstm(6, 4, stream())
    lengths = torch.arange(1, 2 * AT_ONCE + 4)
    values, padding = padded(6, lengths)
    order = torch.randperm(len(lengths), generator=stream(4))
    shuffled = lstm(values[order], Padding(lengths[order], values.device))
    assert torch.equal(shuffled, lstm(values, padding)[order])


def test_empty_slots_are_zero_and_have_no_say() -> None:
    lstm = BiLstm(6, 4, stream())
    values, padding = padded(6)
    found = lstm(values, padding)
    assert not found[~padding.inside].any()
    values[~padding.inside] = 100.0
    torch.testing.assert_close(lstm(values, padding), found)


def test_layers_stand_on_each_other() -> None:
    lstm = StackedBiLstm(6, 4, 3, 0.5, stream()).eval()
    values, padding = padded(6)
    expected = values
    for layer in lstm.layers:
        expected = layer(expected, padding)
    torch.testing.assert_close(lstm(values, padding), expected)
    assert len(lstm.layers) == 3


def test_dropout_lies_below_every_layer_and_draws_from_the_stream() -> None:
    lstm = StackedBiLstm(6, 4, 2, 0.5, stream())
    values, padding = padded(6)
    with pytest.raises(RuntimeError, match="no random stream"):
        lstm(values, padding)
    found = []
    for seed in (5, 5, 6):
        give_stream(lstm, stream(seed))
        found.append(lstm(values, padding))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_forget_gates_start_open_and_weights_within_torchs_bound() -> None:
    lstm = BiLstm(6, 16, stream())
    for direction in (lstm.onward, lstm.homeward):
        assert direction.bias_ih_l0.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32
        assert not direction.bias_hh_l0.any()
        assert 0.23 < direction.weight_hh_l0.abs().max() <= 0.25
    assert not torch.equal(lstm.onward.weight_hh_l0, lstm.homeward.weight_hh_l0)

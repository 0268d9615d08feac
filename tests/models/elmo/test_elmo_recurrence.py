from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from transfer_atlas.models.elmo import recurrence
from transfer_atlas.models.elmo.recurrence import State
from transfer_atlas.models.slots import one_after_the_other, side_by_side

OUT, CELL = 3, 4
SIZES = [3, 3, 2, 1]

Draw = Callable[..., Tensor]


@pytest.fixture
def draw() -> Draw:
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def arguments(draw: Draw) -> tuple[Tensor, Tensor, Tensor, State]:
    """Inputs, both weights and a state to start from."""
    state = State(0.3 * draw(2, SIZES[0], OUT), 0.3 * draw(2, SIZES[0], CELL))
    tensors = draw(2, sum(SIZES), 4 * CELL), draw(2, OUT, 4 * CELL), draw(2, CELL, OUT)
    return *(tensor.requires_grad_() for tensor in tensors), state  # type: ignore[return-value]


@pytest.mark.parametrize("clips", [(None, None), (0.6, None), (None, 0.4), (0.6, 0.4)], ids=str)
def test_gradients_are_those_of_finite_differences(
    arguments: tuple[Tensor, Tensor, Tensor, State], clips: tuple[float | None, float | None]
) -> None:
    *tensors, state = arguments
    outputs, after = recurrence.run(*tensors, state, SIZES, *clips)
    if clips[1]:
        assert (outputs.abs() == clips[1]).any()
    if clips[0]:
        assert (after.cell.abs() == clips[0]).any()
    assert torch.autograd.gradcheck(lambda *t: recurrence.run(*t, state, SIZES, *clips)[0], tuple(tensors))


def test_is_torch_s_own_lstm_where_nothing_is_clipped(draw: Draw) -> None:
    """Outputs, last states and all gradients, for sequences of different lengths and both directions."""
    lengths = torch.tensor([4, 2, 1])
    lstm = nn.LSTM(OUT, CELL, proj_size=OUT, bidirectional=True, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.copy_(draw(*parameter.shape))
    padded = draw(3, 4, OUT)
    packed = pack_padded_sequence(padded, lengths, batch_first=True)
    theirs, (output, cell) = lstm(packed)
    theirs = pad_packed_sequence(theirs, batch_first=True)[0]
    signs = draw(*theirs.shape)
    (theirs * signs).sum().backward()

    # torch's gates are write, forget, new, read.
    order = torch.cat([torch.arange(CELL) + CELL * gate for gate in (0, 2, 1, 3)])

    def both(name: str) -> Tensor:
        return torch.stack([getattr(lstm, f"{name}_l0{way}").detach() for way in ("", "_reverse")])

    input_weight = both("weight_ih")[:, order].transpose(1, 2)
    weight = both("weight_hh")[:, order].transpose(1, 2).requires_grad_()
    projection = both("weight_hr").transpose(1, 2).requires_grad_()
    bias = (both("bias_ih") + both("bias_hh"))[:, order].requires_grad_()
    inside = torch.arange(4) < lengths[:, None]
    slots = side_by_side(lengths)
    inputs = torch.baddbmm(bias[:, None], padded[inside][slots.tokens], input_weight)
    zero = State(torch.zeros(2, 3, OUT, dtype=torch.float64), torch.zeros(2, 3, CELL, dtype=torch.float64))
    ours, after = recurrence.run(inputs, weight, projection, zero, slots.sizes, None, None)
    places = slots.places()
    ours = torch.cat([ours[0, places[0]], ours[1, places[1]]], dim=-1)
    (ours * signs[inside]).sum().backward()

    torch.testing.assert_close(ours, theirs[inside])
    torch.testing.assert_close(after, State(output, cell))
    for name, own in (("weight_hh", weight), ("weight_hr", projection)):
        expected = torch.stack([getattr(lstm, f"{name}_l0{way}").grad for way in ("", "_reverse")]).transpose(1, 2)
        torch.testing.assert_close(own.grad[..., torch.argsort(order)] if name == "weight_hh" else own.grad, expected)
    expected = torch.stack([lstm.bias_ih_l0.grad, lstm.bias_ih_l0_reverse.grad])
    torch.testing.assert_close(bias.grad[:, torch.argsort(order)], expected)


def test_bfloat16_products_stay_close(arguments: tuple[Tensor, Tensor, Tensor, State]) -> None:
    """Under autocast the same, rounded: outputs and gradients keep the type of their tensors."""
    *tensors, state = arguments
    tensors = [tensor.detach().float().requires_grad_() for tensor in tensors]
    state = State(*(part.float() for part in state))
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            outputs, _ = recurrence.run(*tensors, state, SIZES, 3.0, 3.0)
        results.append([outputs, *torch.autograd.grad(outputs.sum(), tensors)])
    for exact, rounded in zip(*results, strict=True):
        assert rounded.dtype == torch.float32
        assert not torch.equal(exact, rounded)
        assert (rounded - exact).norm() < 0.03 * exact.norm()


# --- the order of tokens ------------------------------------------------------------------------------------


def test_sentences_side_by_side() -> None:
    slots = side_by_side(torch.tensor([1, 3, 2]))
    # Tokens of the second sentence are 1 to 3, those of the third 4 and 5.
    assert slots.sizes == [3, 2, 1]
    assert slots.tokens.tolist() == [[1, 4, 0, 2, 5, 3], [3, 5, 0, 2, 4, 1]]


def test_sentences_one_after_the_other() -> None:
    slots = one_after_the_other(torch.tensor([1, 3, 2]))
    assert slots.sizes == [1] * 6
    assert slots.tokens.tolist() == [[0, 1, 2, 3, 4, 5], [0, 3, 2, 1, 5, 4]]


def test_places_undo_the_order() -> None:
    slots = side_by_side(torch.tensor([2, 5, 1, 5]))
    assert torch.equal(slots.tokens.gather(1, slots.places()), torch.arange(13).expand(2, -1))

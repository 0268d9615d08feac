"""Bidirectional LSTMs over sequences of different lengths."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.sequences import Padding

AT_ONCE = 16
"""Sequences of similar length that a CPU reads at once, padded to the longest of them; fewer make slower products."""


def _new_lstm(inputs: int, hidden: int, generator: torch.Generator) -> nn.LSTM:
    """An LSTM of one direction with torch's own distribution of weights, and forget gates that start open.

    The bias of 1 is that of Jozefowicz et al. 2015, section 2.2.
    """
    # On `meta` torch's own initialisation draws nothing from the global generator.
    lstm = nn.LSTM(inputs, hidden, batch_first=True, device="meta").to_empty(device="cpu")
    bound = hidden**-0.5
    of_inputs, of_outputs, bias, second_bias = lstm.all_weights[0]
    with torch.no_grad():
        of_inputs.uniform_(-bound, bound, generator=generator)
        of_outputs.uniform_(-bound, bound, generator=generator)
        second_bias.zero_()
        # torch's order of gates: input, forget, new value, output.
        bias.zero_()[hidden : 2 * hidden] = 1.0
    return lstm


class _Turned(torch.autograd.Function):
    """Rows in another order that, applied twice, is the first again. Its gradient is a copy too, not a sum."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return rows.index_select(0, order)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient.index_select(0, *ctx.saved_tensors), None


def _turned(values: Tensor, inside: Tensor) -> Tensor:
    """[S, longest, H] with each sequence from its last unit to its first; empty slots stay behind them."""
    sequences, longest = inside.shape
    slot = torch.arange(longest, device=values.device)
    places = torch.where(inside, inside.sum(dim=1, keepdim=True) - 1 - slot, slot)
    places += longest * torch.arange(sequences, device=values.device)[:, None]
    turned: Tensor = _Turned.apply(values.flatten(0, 1), places.flatten())
    return turned.view(values.shape)


class BiLstm(nn.Module):
    """One bidirectional layer on a padded view: [S, longest, inputs] -> [S, longest, 2 * hidden], 0 in empty slots.

    Each direction is torch's LSTM over padded sequences, with the empty slots last. On one thread of a CPU its kernels
    (oneDNN) take about half the time of those for packed sequences, whose products are slower.
    """

    def __init__(self, inputs: int, hidden: int, generator: torch.Generator):
        super().__init__()
        self.onward = _new_lstm(inputs, hidden, generator)
        self.homeward = _new_lstm(inputs, hidden, generator)

    def forward(self, values: Tensor, padding: Padding) -> Tensor:
        """Read each sequence in both directions."""
        if values.device.type != "cpu" or len(values) <= AT_ONCE:
            return self._read(values, padding.inside)
        lengths = padding.inside.sum(dim=1)
        order = torch.argsort(lengths, stable=True)
        parts = []
        for part, inside in zip(
            values.index_select(0, order).split(AT_ONCE), padding.inside[order].split(AT_ONCE), strict=True
        ):
            longest = int(inside.sum(dim=1).max())
            read = self._read(part[:, :longest], inside[:, :longest])
            parts.append(nn.functional.pad(read, (0, 0, 0, values.shape[1] - longest)))
        return torch.cat(parts).index_select(0, torch.argsort(order))

    def _read(self, values: Tensor, inside: Tensor) -> Tensor:
        onward = self.onward(values)[0]
        homeward = _turned(self.homeward(_turned(values, inside))[0], inside)
        return torch.cat([onward, homeward], dim=2) * inside[:, :, None]


class StackedBiLstm(nn.Module):
    """Layers of `BiLstm`, each after dropout."""

    def __init__(self, inputs: int, hidden: int, layers: int, dropout: float, generator: torch.Generator):
        super().__init__()
        widths = [inputs] + [2 * hidden] * (layers - 1)
        self.layers = nn.ModuleList(BiLstm(width, hidden, generator) for width in widths)
        self.dropout = StreamDropout(dropout)

    def forward(self, values: Tensor, padding: Padding) -> Tensor:
        """[S, longest, inputs] -> [S, longest, 2 * hidden]."""
        for layer in self.layers:
            values = layer(self.dropout(values), padding)
        return values

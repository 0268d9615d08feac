"""The bidirectional language model above the words' vectors: LSTM layers whose directions never see each other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.elmo import recurrence
from transfer_atlas.models.elmo.options import Lstm
from transfer_atlas.models.elmo.recurrence import State
from transfer_atlas.models.slots import Slots


class BiLstmLayer(nn.Module):
    """One layer, both directions: the first index of every weight is the direction, forward first."""

    def __init__(self, options: Lstm):
        super().__init__()
        cell, out = options.dim, options.projection_dim
        self.input_weight = nn.Parameter(torch.empty(2, out, 4 * cell))
        self.state_weight = nn.Parameter(torch.empty(2, out, 4 * cell))
        self.bias = nn.Parameter(torch.empty(2, 4 * cell))
        self.projection = nn.Parameter(torch.empty(2, cell, out))
        self.clips = (options.cell_clip, options.proj_clip)

    def zero_state(self, sequences: int) -> State:
        """The state in which B sequences start."""
        _, cell, out = self.projection.shape
        return State(self.bias.new_zeros(2, sequences, out), self.bias.new_zeros(2, sequences, cell))

    def forward(self, states: Tensor, sizes: list[int], before: State | None) -> tuple[Tensor, State]:
        """States [2, N, P] in the order of their slots to outputs [2, N, P], and the state at the sequences' ends."""
        inputs = torch.baddbmm(self.bias[:, None], states, self.input_weight)
        before = self.zero_state(sizes[0]) if before is None else before
        return recurrence.run(inputs, self.state_weight, self.projection, before, sizes, *self.clips)


class BiLm(nn.Module):
    """All layers. The input of each layer that is in training mode is dropped out, as when the biLM was pretrained."""

    def __init__(self, options: Lstm, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(BiLstmLayer(options) for _ in range(options.n_layers))
        self.dropout = StreamDropout(dropout)
        self.skip = options.use_skip_connections

    def forward(self, tokens: Tensor, slots: Slots, before: list[State] | None) -> tuple[list[Tensor], list[State]]:
        """Run the sequences.

        Args:
            tokens: [N, P] the words' vectors.
            slots: Which of them is read when.
            before: The state of each layer that the sequences start from; None: zeros.

        Returns:
            [N, 2P] states of each layer in the tokens' order, forward half first, and each layer's last state.
        """
        order, places = slots.tokens.to(tokens.device), slots.places().to(tokens.device)
        states = tokens[order]
        layers, ends = [], []
        for index, layer in enumerate(self.layers):
            states = self.dropout(states) if layer.training else states
            outputs, end = layer(states, slots.sizes, None if before is None else before[index])
            states = outputs + states if self.skip and index > 0 else outputs
            layers.append(torch.cat([states[0, places[0]], states[1, places[1]]], dim=-1))
            ends.append(end)
        return layers, ends

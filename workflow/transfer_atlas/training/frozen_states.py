"""States of a frozen layer, computed once for all runs that start from it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from transfer_atlas.models.encoding import Encoding
from transfer_atlas.training.loop import autocast, evaluation_rows
from transfer_atlas.training.token_examples import TokenisedExamples


@torch.no_grad()
def with_states(
    encoding: Encoding,
    encoder: nn.Module,
    examples: TokenisedExamples,
    layer: int,
    device: torch.device,
    precision: str,
) -> TokenisedExamples:
    """The same examples with the states of layer `layer` (0: the embeddings), [total tokens, H], without dropout."""
    encoder.eval()
    states = torch.empty(0)
    for rows in evaluation_rows(examples):
        with autocast(device, precision):
            found = encoding(examples.batch(rows, device), last=layer)[layer]
        if not len(states):
            states = torch.empty(len(examples.input_ids), found.shape[1], dtype=found.dtype)
        states[examples.tokens_of(rows)[0]] = found.cpu()
    return replace(examples, states=states)

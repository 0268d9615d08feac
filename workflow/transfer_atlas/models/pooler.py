"""BERT's pooler: a map of the first token's state that comes with the pretrained weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

# Where a fine-tuned network keeps it, beside its encoder: surgery, frozen layers and the vocabulary leave it alone.
_PLACE = "head.pooler."


class Pooler(nn.Module):
    """tanh(W h + b) of first tokens' states: [..., H] -> [..., H] (Devlin et al. 2019, as released)."""

    def __init__(self, dense: nn.Linear):
        super().__init__()
        self.dense = dense

    def forward(self, states: Tensor) -> Tensor:
        """Map states of any layer."""
        return torch.tanh(self.dense(states))


def take_pooler(encoder: Any) -> Pooler | None:
    """Take the pooler away from an encoder of transformers; None where the architecture has none."""
    pooler = getattr(encoder, "pooler", None)
    if pooler is None:
        return None
    encoder.pooler = None
    # ALBERT's is the linear map alone.
    return Pooler(pooler if isinstance(pooler, nn.Linear) else pooler.dense)


def pooler_after(pretrained: Pooler, start: Path | None) -> Pooler:
    """A copy of a pretrained pooler, or of the one that the finished run with the weights `start` trained along."""
    pooler = copy.deepcopy(pretrained)
    if start is not None:
        with safe_open(start, framework="pt") as tensors:
            names = [name for name in tensors.keys() if name.startswith(_PLACE)]  # noqa: SIM118 (it is no dict)
            trained = {name.removeprefix(_PLACE): tensors.get_tensor(name) for name in names}
        # A recipe with another pooling trained none.
        if trained:
            pooler.load_state_dict(trained)
    return pooler

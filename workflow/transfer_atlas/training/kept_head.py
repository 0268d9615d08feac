"""The head of an intermediate training, where the target's training goes on with it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from transfer_atlas.training.targets import Scaling

# Where a finished run's weights keep the head, and the scale on which a regression head answers.
_HEAD = "head."
_SCALING = "target_scaling"


def scaling_tensors(scaling: Scaling | None) -> dict[str, Tensor]:
    """The scale of a regression head, to be kept with its weights; nothing for classes."""
    if scaling is None:
        return {}
    return {_SCALING: torch.tensor([scaling.mean, scaling.deviation], dtype=torch.float64)}


def load_head(head: nn.Module, weights: Path) -> Scaling | None:
    """Give a new head the weights of a finished run's, whose head has the same shape; the scale that it answers on.

    Returns:
        None for classes.
    """
    tensors = load_file(weights)
    head.load_state_dict({k.removeprefix(_HEAD): v for k, v in tensors.items() if k.startswith(_HEAD)})
    if _SCALING not in tensors:
        return None
    mean, deviation = tensors[_SCALING].tolist()
    return Scaling(mean, deviation)

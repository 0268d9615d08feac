"""What the training loop asks of a model beyond a forward pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


class Trainable(nn.Module):
    """A model that knows its loss, how its outputs become predictions, and how deep each parameter lies.

    Here: cross-entropy or squared error, outputs as they are, and no encoder. Others override what differs.
    """

    def loss(self, outputs: Tensor, targets: Tensor, batch: Any) -> Tensor:
        """Mean loss of one batch: cross-entropy of classes (int64), squared error of scores (floating).

        Args:
            outputs: [n, outputs] float32, what the model gave for `batch`.
            targets: [n] classes, or scores for the one output.
        """
        if targets.is_floating_point():
            return nn.functional.mse_loss(outputs[:, 0], targets)
        return nn.functional.cross_entropy(outputs, targets)

    def decode(self, outputs: Tensor, batch: Any) -> Tensor:
        """Predictions [n, k] of a batch from its outputs [n, outputs]."""
        return outputs

    def depth_of(self, name: str) -> int | None:
        """Where the parameter `name` lies: in the head (None), in layer 1, 2, ... of the encoder, or below (0)."""
        return None


def depths_in(encoder: nn.Module, layers: Iterable[nn.Module]) -> dict[str, int]:
    """How deep each parameter of an encoder lies, by name: 1 in the lowest of its layers, and 0 outside of them."""
    inside = {id(parameter): depth for depth, layer in enumerate(layers, 1) for parameter in layer.parameters()}
    return {name: inside.get(id(parameter), 0) for name, parameter in encoder.named_parameters()}

"""Applying a surgery to an encoder.

Redrawn: the matrices of all linear maps in the layers named, each element anew from the surgery's `init`. Biases and
LayerNorms of these layers are reset or kept, as the surgery says. Kept in any case: embeddings (of words, positions and
segments, also those inside XLNet's layers), what lies outside of the layers, and all other layers.

New values of layer k come from the stream `init` of the run's seed and k, weights in the order in which the layer names
them: they are the same whichever other layers are redrawn, and none of them is the head's.
"""

from __future__ import annotations

import torch
from torch import nn

from transfer_atlas.models.surgery.anatomy import anatomy_of, layers_of
from transfer_atlas.models.surgery.distributions import distribution_of
from transfer_atlas.settings import Surgery
from transfer_atlas.streams import stream_seed
from transfer_atlas.surgeries import Operation, in_place


@torch.no_grad()
def operate(encoder: nn.Module, operation: Operation, surgery: Surgery, seed: int) -> None:
    """Apply an operation in place, on the CPU.

    Args:
        surgery: How layers are redrawn: its `init`, `biases` and `layer_norm`.
        seed: The run's.

    Raises:
        ValueError: The encoder has not these layers, or shares weights between redrawn and kept ones.
    """
    layers = layers_of(encoder)
    _permute(layers, operation.order)
    redrawn: dict[int, int] = {}
    for number in operation.redrawn:
        if not 1 <= number <= len(layers):
            raise ValueError(f"there is no layer {number} of {len(layers)}")
        # Of layers that share their weights the lowest is drawn.
        redrawn.setdefault(id(layers[number - 1]), number)
    kept = {id(layer) for number, layer in enumerate(layers, 1) if number not in operation.redrawn}
    if redrawn.keys() & kept:
        raise ValueError("layers that share their weights can only be redrawn together")
    for number in redrawn.values():
        _redraw(encoder, layers[number - 1], surgery, torch.Generator().manual_seed(stream_seed(seed, "init", number)))


def _redraw(encoder: nn.Module, layer: nn.Module, surgery: Surgery, generator: torch.Generator) -> None:
    anatomy = anatomy_of(encoder, layer)
    for weight in anatomy.weights:
        distribution_of(surgery.init, weight.default).fill(weight.tensor, generator)
    if surgery.biases == "reset":
        for bias in anatomy.biases:
            bias.tensor.copy_(bias.neutral)
    if surgery.layer_norm == "reset":
        for norm in anatomy.norms:
            norm.weight.fill_(1.0)
            norm.bias.zero_()


def _permute(layers: list[nn.Module], order: tuple[int, ...]) -> None:
    """Move the weights of old layer order[i] into place i; everything in a layer moves with it."""
    if not order:
        return
    if tuple(sorted(order)) != in_place(len(layers)):
        raise ValueError(f"{order} is no order of {len(layers)} layers")
    if len({id(layer) for layer in layers}) < len(layers):
        raise ValueError("layers that share their weights have no order")
    old = [{name: value.clone() for name, value in layer.state_dict().items()} for layer in layers]
    for layer, number in zip(layers, order, strict=True):
        layer.load_state_dict(old[number - 1])

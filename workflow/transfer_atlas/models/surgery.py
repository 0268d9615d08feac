"""Surgery: reinitialising pretrained layers before training (Tamkin et al. 2020, section 3).

Only the weights named here change; embeddings are never touched. New values come from the run's `init` stream, bottom
layer first and in the order of the module's own parameters, so the same seed gives the same weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from transfer_atlas.models.encoder import transformer_layers

STANDARD_DEVIATION = 0.02


def _truncated_normal_(weight: Tensor, bound: float, generator: torch.Generator) -> None:
    """Fill with N(0, 0.02) cut at +-`bound` deviations, by inverting the normal distribution function."""
    low, high = (0.5 * (1.0 + math.erf(b / math.sqrt(2.0))) for b in (-bound, bound))
    uniform = torch.rand(weight.shape, generator=generator, dtype=torch.float64) * (high - low) + low
    weight.copy_(torch.special.ndtri(uniform).clamp_(-bound, bound).mul_(STANDARD_DEVIATION))


def _redraw_(weight: Tensor, init: str, initializer_range: float, generator: torch.Generator) -> None:
    if init == "truncated_normal":
        _truncated_normal_(weight, 2.0, generator)
    elif init == "authors_code":
        # The released code passes -2 * 0.02 and 2 * 0.02 as bounds that scipy reads in units of the deviation.
        _truncated_normal_(weight, 2.0 * STANDARD_DEVIATION, generator)
    elif init == "model_default":
        weight.normal_(0.0, initializer_range, generator=generator)
    else:
        raise ValueError(f"unknown init {init!r}")


@torch.no_grad()
def reinitialise_layer(
    layer: nn.Module,
    *,
    init: str,
    biases: str,
    layer_norm: str,
    initializer_range: float,
    generator: torch.Generator,
) -> None:
    """Redraw the linear weights of one transformer layer in place; keep or reset its biases and LayerNorms."""
    for module in layer.modules():
        if isinstance(module, nn.Linear):
            _redraw_(module.weight, init, initializer_range, generator)
            if biases == "reset" and module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.LayerNorm) and layer_norm == "reset":
            module.weight.fill_(1.0)
            module.bias.zero_()


def progressive(
    encoder: nn.Module, keep: int, *, init: str, biases: str, layer_norm: str, generator: torch.Generator
) -> None:
    """Keep the bottom `keep` layers and reinitialise all above, in place.

    Raises:
        ValueError: `keep` is not between 0 and the number of layers.
    """
    layers = transformer_layers(encoder)
    if not 0 <= keep <= len(layers):
        raise ValueError(f"cannot keep {keep} of {len(layers)} layers")
    for layer in layers[keep:]:
        reinitialise_layer(
            layer,
            init=init,
            biases=biases,
            layer_norm=layer_norm,
            initializer_range=encoder.config.initializer_range,  # type: ignore[union-attr,arg-type]
            generator=generator,
        )

"""Which tensors of a layer play which part: what is redrawn, what is reset or kept, and what always stays."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers.models.xlnet.modeling_xlnet import XLNetRelativeAttention

from transfer_atlas.models.elmo.bilm import BiLstmLayer
from transfer_atlas.models.elmo.encoder import Elmo
from transfer_atlas.models.encoder import transformer_layers
from transfer_atlas.models.surgery.distributions import Distribution, Normal, Uniform


@dataclass(frozen=True)
class Weight:
    """The matrix of a linear map, and what the model's own initialisation draws it from."""

    tensor: Tensor
    default: Distribution


@dataclass(frozen=True)
class Bias:
    """A bias, and the value that it is reset to: one that adds nothing, and lets an LSTM remember."""

    tensor: Tensor
    neutral: Tensor


@dataclass
class Anatomy:
    """The tensors of one layer, in the order in which it names them. Embeddings in a layer are not among them."""

    weights: list[Weight] = field(default_factory=list)
    biases: list[Bias] = field(default_factory=list)
    norms: list[nn.LayerNorm] = field(default_factory=list)


def layers_of(encoder: nn.Module) -> list[nn.Module]:
    """The layers that surgery counts, lowest first: transformer layers, or the LSTM layers of ELMo."""
    return list(encoder.bilm.layers) if isinstance(encoder, Elmo) else transformer_layers(encoder)


def anatomy_of(encoder: nn.Module, layer: nn.Module) -> Anatomy:
    """The tensors of a layer of this encoder.

    Raises:
        ValueError: It holds parameters of an unknown kind, which a surgery would silently pass over.
    """
    if isinstance(layer, BiLstmLayer):
        return _of_lstm(layer)
    default = Normal(float(encoder.config.initializer_range))  # type: ignore[union-attr, arg-type]
    found = Anatomy()
    for name, module in layer.named_modules():
        if isinstance(module, nn.Linear):
            found.weights.append(Weight(module.weight, default))
            if module.bias is not None:
                found.biases.append(_zero(module.bias))
        elif isinstance(module, nn.LayerNorm):
            found.norms.append(module)
        elif isinstance(module, XLNetRelativeAttention):
            # `seg_embed` is an embedding: whether two tokens are of the same text.
            matrices = (module.q, module.k, module.v, module.o, module.r)
            found.weights += [Weight(matrix, default) for matrix in matrices]
            found.biases += [_zero(bias) for bias in (module.r_w_bias, module.r_r_bias, module.r_s_bias)]
        elif module._parameters:
            raise ValueError(f"{type(layer).__name__}.{name}: {type(module).__name__} is of no known kind")
    return found


def _of_lstm(layer: BiLstmLayer) -> Anatomy:
    """Both directions of an LSTM layer of ELMo.

    TensorFlow drew the maps of inputs and states as one matrix, and all weights uniformly after Glorot & Bengio 2010,
    eq. 16; it adds 1 to the forget gate (the third of four), which is in the bias here.
    """
    _, out, gates = layer.input_weight.shape
    cell = layer.projection.shape[1]
    kernel, projection = (
        Uniform(math.sqrt(6.0 / (fan_in + fan_out))) for fan_in, fan_out in ((2 * out, gates), (cell, out))
    )
    neutral = torch.zeros_like(layer.bias)
    neutral[:, 2 * cell : 3 * cell] = 1.0
    weights = [
        Weight(layer.input_weight, kernel),
        Weight(layer.state_weight, kernel),
        Weight(layer.projection, projection),
    ]
    return Anatomy(weights, [Bias(layer.bias, neutral)])


def _zero(bias: Tensor) -> Bias:
    return Bias(bias, torch.zeros_like(bias))

"""A transformer layer as one differentiable function, forward and backward written out.

The layer of BERT and its relatives (Devlin et al. 2019; post-LayerNorm as in Vaswani et al. 2017, section 3):

    y = LayerNorm(x + dropout(attention(x) Wo + bo))
    z = LayerNorm(y + dropout(gelu(y Wi + bi) Wd + bd))

on a packed row of T tokens. The weights stay in transformers' own modules; this function reads them and returns their
gradients. It computes what the modules compute under autocast (products in bfloat16; residuals, LayerNorm and softmax
in float32) with a third of the operations: query, key and value in one product, weights cast side by side, no
intermediate copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation

from transfer_atlas.models.dropout import StreamDropout, draw_kept
from transfer_atlas.models.packed_attention import Attended, active, attend, attend_backward
from transfer_atlas.models.packing import Packing
from transfer_atlas.models.varlen_attention import VarlenAttended


def is_fusible(layer: Any) -> bool:
    """Whether a layer of transformers is the one described above (its activation or its parts may be others)."""
    return hasattr(layer, "intermediate") and isinstance(layer.intermediate.intermediate_act_fn, GELUActivation)


def compute_dtype(device: torch.device, weights: torch.dtype) -> torch.dtype:
    """The type of matrix products: autocast's where it is on, else the weights' own."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else weights


class LayerWeights:
    """The weights of one layer as its products want them: side by side, and in the type of the products.

    They are cast at every pass: it costs a fiftieth of the pass, and fused optimisers change weights without a trace
    that would tell when it is needed.
    """

    def __init__(self, layer: Any):
        """The weights of a layer of transformers."""
        attention, output = layer.attention.self, layer.attention.output
        linear = [attention.query, attention.key, attention.value, output.dense, layer.intermediate.dense]
        linear.append(layer.output.dense)
        self.matrices: list[Tensor] = [part.weight for part in linear]
        self.biases: list[Tensor] = [part.bias for part in linear]
        self.norms: list[Tensor] = [
            tensor for part in (output.LayerNorm, layer.output.LayerNorm) for tensor in (part.weight, part.bias)
        ]
        self.epsilon = float(output.LayerNorm.eps)
        self.heads = int(attention.num_attention_heads)
        self.scale = float(attention.scaling)
        self.dropouts: list[Any] = [attention.dropout, output.dropout, layer.output.dropout]
        self.cast: list[Tensor] = []

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters, in the order of `_Layer`'s gradients."""
        return [*self.matrices, *self.biases, *self.norms]

    @torch.no_grad()
    def cast_to(self, dtype: torch.dtype) -> list[Tensor]:
        """Wqkv [3H, H], Wo [H, H], Wi [F, H], Wd [H, F] and their biases in `dtype`, in buffers that are kept."""
        device = self.matrices[0].device
        if not self.cast or (self.cast[0].dtype, self.cast[0].device) != (dtype, device):
            self.cast = []
            for query, _key, _value, *others in (self.matrices, self.biases):
                joined = torch.empty((3 * len(query), *query.shape[1:]), dtype=dtype, device=device)
                self.cast += [joined, *(torch.empty_like(tensor, dtype=dtype) for tensor in others)]
        wholes = iter(self.cast)
        for query, key, value, *others in (self.matrices, self.biases):
            for part, tensor in zip(next(wholes).chunk(3), (query, key, value), strict=True):
                part.copy_(tensor)
            for tensor in others:
                next(wholes).copy_(tensor)
        return self.cast


Dropped = tuple[Tensor | None, float]
"""What a dropout kept, 0 or 1 (None where it dropped nothing), and with what probability."""


@dataclass
class _Saved:
    """What the backward pass of a layer needs of the forward pass."""

    inputs: Tensor
    context: Tensor
    attended: Attended | VarlenAttended
    middle: Tensor
    inner: Tensor
    activated: Tensor
    norms: list[tuple[Tensor, Tensor, Tensor]]
    dropped: list[Dropped]


def _add(residual: Tensor, branch: Tensor, dropout: StreamDropout | None) -> tuple[Tensor, Dropped]:
    """residual + dropout(branch), in the residual's type, and what the dropout kept."""
    branch = branch.to(residual.dtype)
    if dropout is None:
        return residual + branch, (None, 1.0)
    kept, keep = draw_kept(residual.shape, dropout), 1.0 - dropout.p
    return torch.addcmul(residual, branch, kept.to(residual.dtype), value=1.0 / keep), (kept, keep)


def _add_backward(gradient: Tensor, dropped: Dropped, dtype: torch.dtype) -> Tensor:
    """Gradient of the branch of `_add`, in the type of the products."""
    kept, keep = dropped
    if kept is None:
        return gradient.to(dtype)
    return torch.mul(gradient, kept).mul_(1.0 / keep).to(dtype)


class _Layer(torch.autograd.Function):
    """One layer on [T, H]; the parameters are inputs so that autograd hands them their gradients."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, packing: Packing, weights: LayerWeights, *_parameters: Tensor) -> Tensor:
        dtype = compute_dtype(states.device, states.dtype)
        with torch.autocast(states.device.type, enabled=False):
            w_qkv, w_out, w_inner, w_down, b_qkv, b_out, b_inner, b_down = weights.cast_to(dtype)
            gain_1, bias_1, gain_2, bias_2 = weights.norms
            shape, epsilon = states.shape[1:], weights.epsilon
            attention_dropout, *hidden_dropouts = (active(dropout) for dropout in weights.dropouts)

            inputs = states.to(dtype)
            qkv = torch.addmm(b_qkv, inputs, w_qkv.t())
            context, attended = attend(qkv, packing, weights.heads, weights.scale, attention_dropout)
            summed_1, dropped_1 = _add(states, torch.addmm(b_out, context, w_out.t()), hidden_dropouts[0])
            normed, mean_1, deviation_1 = torch.native_layer_norm(summed_1, shape, gain_1, bias_1, epsilon)

            middle = normed.to(dtype)
            inner = torch.addmm(b_inner, middle, w_inner.t())
            activated = nn.functional.gelu(inner)
            summed_2, dropped_2 = _add(normed, torch.addmm(b_down, activated, w_down.t()), hidden_dropouts[1])
            result, mean_2, deviation_2 = torch.native_layer_norm(summed_2, shape, gain_2, bias_2, epsilon)

        ctx.packing, ctx.weights = packing, weights
        norms = [(summed_1, mean_1, deviation_1), (summed_2, mean_2, deviation_2)]
        ctx.saved = _Saved(inputs, context, attended, middle, inner, activated, norms, [dropped_1, dropped_2])
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved: _Saved = ctx.saved
        weights: LayerWeights = ctx.weights
        del ctx.saved
        w_qkv, w_out, w_inner, w_down, *_ = weights.cast
        dtype, master = w_qkv.dtype, gradients[0].dtype
        gain_1, bias_1, gain_2, bias_2 = weights.norms

        def norm_backward(gradient: Tensor, norm: tuple[Tensor, Tensor, Tensor], gain: Tensor, bias: Tensor) -> Any:
            summed, mean, deviation = norm
            return torch.ops.aten.native_layer_norm_backward(
                gradient, summed, summed.shape[1:], mean, deviation, gain, bias, [True, True, True]
            )

        def linear_backward(gradient: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor]:
            """Gradients of a linear map's matrix and bias."""
            return (gradient.t() @ inputs).to(master), gradient.sum(0).to(master)

        at_summed, to_gain_2, to_bias_2 = norm_backward(gradients[0], saved.norms[1], gain_2, bias_2)
        branch = _add_backward(at_summed, saved.dropped[1], dtype)
        to_w_down, to_b_down = linear_backward(branch, saved.activated)
        branch = torch.ops.aten.gelu_backward(branch @ w_down, saved.inner)
        to_w_inner, to_b_inner = linear_backward(branch, saved.middle)
        at_normed = at_summed.add_((branch @ w_inner).to(master))

        at_summed, to_gain_1, to_bias_1 = norm_backward(at_normed, saved.norms[0], gain_1, bias_1)
        branch = _add_backward(at_summed, saved.dropped[0], dtype)
        to_w_out, to_b_out = linear_backward(branch, saved.context)
        branch = attend_backward(branch @ w_out, saved.attended, ctx.packing, weights.heads, weights.scale)
        to_w_qkv, to_b_qkv = linear_backward(branch, saved.inputs)
        at_states = at_summed.add_((branch @ w_qkv).to(master)) if ctx.needs_input_grad[0] else None

        matrices = [*to_w_qkv.chunk(3), to_w_out, to_w_inner, to_w_down]
        biases = [*to_b_qkv.chunk(3), to_b_out, to_b_inner, to_b_down]
        norms = [to_gain_1, to_bias_1, to_gain_2, to_bias_2]
        return at_states, None, None, *matrices, *biases, *norms


def transformer_layer(states: Tensor, packing: Packing, weights: LayerWeights) -> Tensor:
    """Run one layer on a packed row: [T, H] to [T, H], both in the type of the weights."""
    output: Tensor = _Layer.apply(states, packing, weights, *weights.parameters)
    return output

"""An LSTM with projected output and clipping (Sak et al. 2014), forward and backward written out.

torch's own LSTM kernels project but cannot clip the cell before its output is taken, so they are never exact here. What
makes this one fast: both directions and all running sequences of a step are one product, the inputs of all steps were
one product before, and the gradient of each weight is one product over all steps instead of a sum over steps.
It computes what torch would under autocast: products in bfloat16, all else in float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from transfer_atlas.models.transformer_layer import compute_dtype


class State(NamedTuple):
    """What a step hands to the next: output [2, B, P] and memory cell [2, B, C] of both directions."""

    output: Tensor
    cell: Tensor


class _Step(NamedTuple):
    """What the backward pass needs of a step: gates [2, S, 4C], the cell before [2, S, C] and after it."""

    gates: Tensor
    cell_before: Tensor
    cell: Tensor


def _clip(values: Tensor, largest: float | None) -> Tensor:
    return values if largest is None else values.clamp_(-largest, largest)


def _stop_clipped(gradient: Tensor, values: Tensor, largest: float | None) -> Tensor:
    """The gradient where the clipped `values` were not clipped, else 0."""
    return gradient if largest is None else gradient * (values.abs() < largest)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight: Tensor,
        projection: Tensor,
        output: Tensor,
        cell: Tensor,
        sizes: list[int],
        cell_clip: float | None,
        output_clip: float | None,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        dtype = compute_dtype(weight.device, weight.dtype)
        first_output = output
        last = State(output.clone(), cell.clone())
        outputs = output.new_empty(2, inputs.shape[1], output.shape[2])
        steps: list[_Step] = []
        with torch.autocast(weight.device.type, enabled=False):
            weight, projection = weight.to(dtype), projection.to(dtype)
            start = 0
            for size in sizes:
                slots = slice(start, start + size)
                start += size
                before, output = cell[:, :size], output[:, :size]
                gates = torch.baddbmm(inputs[:, slots].to(dtype), output.to(dtype), weight).to(cell.dtype)
                write, new, forget, read = gates.chunk(4, dim=-1)
                write.sigmoid_(), new.tanh_(), forget.sigmoid_(), read.sigmoid_()
                cell = _clip(torch.addcmul(forget * before, write, new), cell_clip)
                output = torch.bmm((read * cell.tanh()).to(dtype), projection).to(cell.dtype)
                output = _clip(output, output_clip)
                outputs[:, slots] = output
                last.output[:, :size], last.cell[:, :size] = output, cell
                if keep:
                    steps.append(_Step(gates, before, cell))
        if keep:
            ctx.save_for_backward(weight, projection, first_output, outputs)
            ctx.steps, ctx.sizes, ctx.clips, ctx.dtypes = steps, sizes, (cell_clip, output_clip), inputs.dtype
        ctx.mark_non_differentiable(*last)
        return outputs, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, projection, first_output, outputs = ctx.saved_tensors
        cell_clip, output_clip = ctx.clips
        steps: list[_Step] = ctx.steps
        dtype = weight.dtype
        slots_total, width = outputs.shape[1], steps[0].cell.shape[-1]
        weight_t, projection_t = weight.transpose(1, 2), projection.transpose(1, 2)
        # What the products over all steps at the end read: one row a slot.
        d_gates = weight.new_empty(2, slots_total, 4 * width)
        d_projected = weight.new_empty(2, slots_total, outputs.shape[2])
        projected = weight.new_empty(2, slots_total, width)
        outputs_before = weight.new_empty(2, slots_total, outputs.shape[2])
        # Gradients that reach a step from the one after it; sequences that ended there have none.
        d_output_next = torch.zeros_like(first_output)
        d_cell_next = outputs.new_zeros(2, first_output.shape[1], width)
        with torch.autocast(weight.device.type, enabled=False):
            start = slots_total
            for index in reversed(range(len(steps))):
                size = ctx.sizes[index]
                slots = slice(start - size, start)
                start -= size
                gates, before, cell = steps[index]
                write, new, forget, read = gates.chunk(4, dim=-1)
                seen = cell.tanh()
                d_output = gradients[0][:, slots] + d_output_next[:, :size]
                d_output = _stop_clipped(d_output, outputs[:, slots], output_clip)
                d_projected[:, slots] = d_output
                projected[:, slots] = read * seen
                d_read_out = torch.bmm(d_output.to(dtype), projection_t).to(cell.dtype)
                d_cell = torch.addcmul(d_cell_next[:, :size], d_read_out * read, 1 - seen * seen)
                d_cell = _stop_clipped(d_cell, cell, cell_clip)
                d_gates[:, slots] = torch.cat(
                    [
                        d_cell * new * write * (1 - write),
                        d_cell * write * (1 - new * new),
                        d_cell * before * forget * (1 - forget),
                        d_read_out * seen * read * (1 - read),
                    ],
                    dim=-1,
                )
                d_cell_next[:, :size] = d_cell * forget
                d_output_next[:, :size] = torch.bmm(d_gates[:, slots], weight_t)
                earlier = start - ctx.sizes[index - 1]
                outputs_before[:, slots] = outputs[:, earlier : earlier + size] if index else first_output
            d_weight = torch.bmm(outputs_before.transpose(1, 2), d_gates).to(outputs.dtype)
            d_projection = torch.bmm(projected.transpose(1, 2), d_projected).to(outputs.dtype)
        return d_gates.to(ctx.dtypes), d_weight, d_projection, *[None] * 6


def run(
    inputs: Tensor,
    weight: Tensor,
    projection: Tensor,
    state: State,
    sizes: list[int],
    cell_clip: float | None,
    output_clip: float | None,
) -> tuple[Tensor, State]:
    """Run B sequences in two directions, in the order of `slots.Slots`.

    Args:
        inputs: [2, N, 4C] what the inputs and the bias give to the gates: write, new value, forget, read.
        weight: [2, P, 4C] from the output of the step before to the gates.
        projection: [2, C, P] from the cell to the output.
        state: What the sequences start from. No gradient flows into it.
        sizes: Number of sequences still running at each step.
        cell_clip, output_clip: Largest absolute values, or None.

    Returns:
        Outputs of all steps, [2, N, P], and the state in which each sequence ended.
    """
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (inputs, weight, projection))
    outputs, *last = _Recurrence.apply(inputs, weight, projection, *state, sizes, cell_clip, output_clip, keep)
    return outputs, State(*last)

"""Dropout that draws from a generator of its own.

`torch.nn.Dropout` draws from the global generator, which would make a result depend on whatever ran before in the
same process. Here every mask comes from the run's named stream.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_BITS = 16
_PER_WORD = 64 // _BITS


def keep_mask(shape: torch.Size, probability: float, generator: torch.Generator) -> Tensor:
    """Draw a float32 mask of `shape` on the generator's device that is 1 with probability 1 - `probability`, else 0.

    Each 64-bit random word decides four elements, so `probability` is rounded to a multiple of 2^-16.
    """
    n = shape.numel()
    words = torch.empty((n + _PER_WORD - 1) // _PER_WORD, dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    threshold = min(round(probability * 2**_BITS), 2**_BITS - 1) - 2 ** (_BITS - 1)
    # Compared straight into numbers: on a CPU a mask of booleans costs several times as much to make and to use.
    kept = torch.empty(shape, device=generator.device)
    return torch.ge(words.view(torch.int16)[:n].view(shape), threshold, out=kept)


class StreamDropout(nn.Module):
    """Dropout with probability `p`; inactive until a generator is given and in evaluation mode.

    Shapes: any shape in, the same shape out.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    @property
    def active(self) -> bool:
        """Whether it drops anything now."""
        return self.training and self.p > 0.0

    def forward(self, values: Tensor) -> Tensor:
        """Zero elements with probability p and scale the others by 1 / (1 - p)."""
        if not self.active:
            return values
        return values * draw_kept(values.shape, self).mul_(1.0 / (1.0 - self.p)).to(values.dtype)


def draw_kept(shape: torch.Size, dropout: StreamDropout) -> Tensor:
    """The next mask of a dropout's stream: 1 where an element is kept, 0 where it is dropped, float32."""
    if dropout.generator is None:
        raise RuntimeError("dropout has no random stream: call `give_stream` before training")
    return keep_mask(shape, dropout.p, dropout.generator)


def replace_dropout(model: nn.Module, p: float | None = None) -> None:
    """Replace every `nn.Dropout` below `model` by a `StreamDropout` of the same (or the given) probability."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Dropout):
                setattr(parent, name, StreamDropout(child.p if p is None else p))
            elif isinstance(child, StreamDropout) and p is not None:
                child.p = p


def give_stream(model: nn.Module, generator: torch.Generator) -> None:
    """Make every dropout below `model` draw from `generator`."""
    for module in model.modules():
        if isinstance(module, StreamDropout):
            module.generator = generator

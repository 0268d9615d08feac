"""Where new weights come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from scipy import stats
from torch import Tensor


class Distribution(Protocol):
    """What a tensor is filled from, independently for each of its elements."""

    @property
    def deviation(self) -> float:
        """Standard deviation; the mean is 0."""
        ...

    def fill(self, tensor: Tensor, generator: torch.Generator) -> None:
        """Overwrite a tensor on the CPU, in the order of its elements."""
        ...


@dataclass(frozen=True)
class Normal:
    """A normal distribution."""

    deviation: float

    def fill(self, tensor: Tensor, generator: torch.Generator) -> None:
        """See `Distribution`."""
        tensor.normal_(0.0, self.deviation, generator=generator)


@dataclass(frozen=True)
class TruncatedNormal:
    """A normal distribution of deviation `scale` before it is cut at +-`bound` times the scale."""

    scale: float
    bound: float

    @property
    def deviation(self) -> float:
        """See `Distribution`."""
        return self.scale * float(stats.truncnorm.std(-self.bound, self.bound))

    def fill(self, tensor: Tensor, generator: torch.Generator) -> None:
        """See `Distribution`; by inverting the normal distribution function."""
        low, high = (0.5 * (1.0 + math.erf(b / math.sqrt(2.0))) for b in (-self.bound, self.bound))
        uniform = torch.rand(tensor.shape, generator=generator, dtype=torch.float64) * (high - low) + low
        tensor.copy_(torch.special.ndtri(uniform).clamp_(-self.bound, self.bound).mul_(self.scale))


@dataclass(frozen=True)
class Uniform:
    """A uniform distribution between +-`bound`."""

    bound: float

    @property
    def deviation(self) -> float:
        """See `Distribution`."""
        return self.bound / math.sqrt(3.0)

    def fill(self, tensor: Tensor, generator: torch.Generator) -> None:
        """See `Distribution`."""
        tensor.uniform_(-self.bound, self.bound, generator=generator)


SCALE = 0.02
INTENDED = TruncatedNormal(SCALE, 2.0)
# The released code passes -2 * 0.02 and 2 * 0.02 as bounds that scipy reads in units of the deviation.
AUTHORS_CODE = TruncatedNormal(SCALE, 2.0 * SCALE)


def distribution_of(init: str, model_default: Distribution) -> Distribution:
    """The distribution that `settings.Surgery.init` names.

    Args:
        model_default: What the model itself was drawn from before it was pretrained.

    Raises:
        ValueError: There is none of this name.
    """
    named = {"truncated_normal": INTENDED, "authors_code": AUTHORS_CODE, "model_default": model_default}
    if init not in named:
        raise ValueError(f"unknown init {init!r}")
    return named[init]

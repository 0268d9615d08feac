"""AdamW by depth of layer: a rate for each layer, layers unfrozen one after the other, clipping."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from transfer_atlas.models.trainable import Trainable
from transfer_atlas.settings import Recipe
from transfer_atlas.training import schedule


def _placed(model: Trainable) -> list[tuple[nn.Parameter, int | None]]:
    """Parameters that are not frozen, and their depths; the head's last, whichever part the model names first."""
    placed = [(parameter, model.depth_of(name)) for name, parameter in model.named_parameters()]
    return sorted((entry for entry in placed if entry[0].requires_grad), key=lambda entry: entry[1] is None)


def _layers(model: Trainable) -> int:
    """Layers of the model's encoder; 0 where it has none."""
    return max((model.depth_of(name) or 0 for name, _ in model.named_parameters()), default=0)


def new_optimiser(
    model: Trainable, recipe: Recipe, rate_factors: Mapping[int, float] | None = None
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) of all parameters that are not frozen, in groups of one peak rate and decay.

    A parameter without a gradient is passed over: neither decayed nor counted. One that is unfrozen later therefore
    begins with fresh moments, and their bias correction counts its own updates only.

    Args:
        rate_factors: Factors on the rates of some layers, by depth.
    """
    layers = _layers(model)
    factors = rate_factors or {}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, depth in _placed(model):
        rate = schedule.peak_rate(recipe, depth, layers) * (1.0 if depth is None else factors.get(depth, 1.0))
        # Biases, LayerNorm gains and the mix's scalars have fewer than two axes.
        decay = recipe.weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [{"params": p, "lr": rate, "weight_decay": decay, "peak": rate} for (rate, decay), p in groups.items()],
        eps=recipe.adam_epsilon,
        fused=True,
    )


def set_rates(optimiser: torch.optim.AdamW, factor: float) -> None:
    """Set each group's rate to `factor` times its peak."""
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * factor


def clip(optimiser: torch.optim.AdamW, largest: float) -> None:
    """Scale all gradients to a norm of at most `largest` (Pascanu et al. 2013, section 3.2).

    The fused optimiser divides by the factor as it reads the gradients, which saves a pass over them.
    """
    parameters = (parameter for group in optimiser.param_groups for parameter in group["params"])
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    optimiser.grad_scale = (norm / largest).clamp_(min=1.0)  # type: ignore[attr-defined]
    optimiser.found_inf = torch.zeros((), device=norm.device)  # type: ignore[attr-defined]


class Unfreezing:
    """Gradual unfreezing (Howard & Ruder 2018, section 3.3) of the parameters that are not frozen for good.

    What an epoch trains depends on its number alone, so a resumed training needs to remember nothing. Layers that are
    still frozen cost no backward pass; their dropout is active.
    """

    def __init__(self, model: Trainable, recipe: Recipe):
        self._recipe = recipe
        self._layers = _layers(model)
        self._encoder = [(parameter, depth) for parameter, depth in _placed(model) if depth is not None]

    def begin(self, epoch: int) -> None:
        """Freeze and unfreeze for an epoch, counted from 0."""
        lowest = schedule.lowest_trained(self._recipe, epoch, self._layers)
        for parameter, depth in self._encoder:
            parameter.requires_grad_(depth >= lowest)

"""How long a training is, its learning rates at each update, and which layers an epoch trains."""

from __future__ import annotations

from transfer_atlas.settings import Recipe
from transfer_atlas.updates import steps_per_epoch, total_steps

# The ratio of the largest rate to the smallest that Howard & Ruder use throughout.
_SLANT_RATIO = 32


def factor(step: int, total: int, warmup: float, shape: str) -> float:
    """Factor on the peak rate at update `step` (0-based) of `total`: rises in the warm-up, then decays or stays.

    `linear` reaches 0 just after the last update, as `get_linear_schedule_with_warmup` of transformers does.
    `slanted_triangular` is Howard & Ruder 2018, eq. 3, with `warmup` as cut_frac. It falls over the T - cut updates
    that are left, where eq. 3 has cut * (1 / cut_frac - 1): fewer if cut was rounded down, with negative rates at last.
    """
    warmup_steps = int(warmup * total)
    rising = step < warmup_steps
    share = step / warmup_steps if rising else (total - step) / max(1, total - warmup_steps)
    if shape == "slanted_triangular":
        return (1.0 + share * (_SLANT_RATIO - 1)) / _SLANT_RATIO
    return 1.0 if shape == "constant" and not rising else share


def peak_rate(recipe: Recipe, depth: int | None, layers: int) -> float:
    """Peak learning rate of the head (depth None), or of depth `depth` of an encoder of `layers` layers."""
    if depth is None:
        return recipe.head_learning_rate or recipe.learning_rate
    return recipe.learning_rate * recipe.layer_decay ** (layers - depth)


def lowest_trained(recipe: Recipe, epoch: int, layers: int) -> int:
    """The lowest depth that epoch `epoch` (0-based) trains: 0 the embeddings too, `layers` + 1 the head alone."""
    if recipe.unfreeze_epochs is None:
        return 0
    return max(0, layers + 1 - epoch // recipe.unfreeze_epochs)


def unused_decay(recipe: Recipe, steps: int, n_examples: int, layers: int) -> float:
    """What decoupled weight decay leaves, after `steps` updates, of an embedding row that never gets a gradient.

    Embeddings that are still frozen do not decay.
    """
    if recipe.weight_decay == 0.0:
        return 1.0
    per_epoch, total = steps_per_epoch(n_examples, recipe.batch_size), total_steps(n_examples, recipe)
    peak, left = peak_rate(recipe, 0, layers), 1.0
    for step in range(steps):
        if lowest_trained(recipe, step // per_epoch, layers) > 0:
            continue
        rate = peak * factor(step, total, recipe.warmup, recipe.schedule)
        left *= 1.0 - rate * recipe.weight_decay
    return left

"""How long a training is, and its learning rate at each update."""

from __future__ import annotations

from transfer_atlas.settings import Recipe


def steps_per_epoch(n_examples: int, batch_size: int) -> int:
    """Updates in one pass over the examples; the last batch may be smaller."""
    return -(-n_examples // batch_size)


def total_steps(n_examples: int, recipe: Recipe) -> int:
    """Updates of a training: the recipe's epochs, or more whole epochs until `min_steps` is reached."""
    per_epoch = steps_per_epoch(n_examples, recipe.batch_size)
    return per_epoch * max(recipe.epochs, -(-recipe.min_steps // per_epoch))


def factor(step: int, total: int, warmup: float, shape: str) -> float:
    """Factor on the peak rate at update `step` (0-based) of `total`: rises in the warm-up, then decays or stays.

    `linear` reaches 0 just after the last update, as `get_linear_schedule_with_warmup` of transformers does.
    """
    warmup_steps = int(warmup * total)
    if step < warmup_steps:
        return step / max(1, warmup_steps)
    if shape == "constant":
        return 1.0
    return (total - step) / max(1, total - warmup_steps)


def unused_decay(recipe: Recipe, steps: int, total: int) -> float:
    """What decoupled weight decay leaves, after `steps` updates, of an embedding row that never gets a gradient."""
    if recipe.weight_decay == 0.0:
        return 1.0
    left = 1.0
    for step in range(steps):
        rate = recipe.learning_rate * factor(step, total, recipe.warmup, recipe.schedule)
        left *= 1.0 - rate * recipe.weight_decay
    return left

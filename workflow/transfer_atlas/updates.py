"""How many updates a training takes."""

from __future__ import annotations

from transfer_atlas.settings import Recipe


def steps_per_epoch(n_examples: int, batch_size: int) -> int:
    """Updates in one pass over the examples; the last batch may be smaller."""
    return -(-n_examples // batch_size)


def total_steps(n_examples: int, recipe: Recipe) -> int:
    """Updates of a training: the recipe's epochs, or more whole epochs until `min_steps` is reached."""
    per_epoch = steps_per_epoch(n_examples, recipe.batch_size)
    return per_epoch * max(recipe.epochs, -(-recipe.min_steps // per_epoch))


def with_more_updates(recipe: Recipe, n_examples: int, more: int) -> Recipe:
    """The recipe that takes so many more updates on these examples, rounded up to whole epochs."""
    if not more:
        return recipe
    return recipe.model_copy(update={"min_steps": total_steps(n_examples, recipe) + more})

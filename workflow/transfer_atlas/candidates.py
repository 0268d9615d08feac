"""What a recipe's `search` stands for: candidates, each the recipe with one combination of the values to choose from.

A candidate is called by the number of its combination in the grid, counted from 0 with the keys in order of name and
the last key's values changing fastest, so its name stays when more `trials` are allowed. Two recipes with the same
`search` try the same combinations, whatever they are called.
"""

from __future__ import annotations

import math
import random
from typing import Any

from transfer_atlas.identity import digest_of
from transfer_atlas.settings import Recipe
from transfer_atlas.streams import stream_seed

# What is compared between recipes rather than chosen for one, and what changes no training.
_FIXED = {"method", "head", "pooling", "pieces", "pairs", "precision", "search", "trials", "search_seeds", "label"}
SEARCHABLE = tuple(name for name in Recipe.model_fields if name not in _FIXED)


def combinations(recipe: Recipe) -> int:
    """How many combinations the grid has; 0 without `search`."""
    return math.prod(len(values) for values in recipe.search.values()) if recipe.search else 0


def tried(recipe: Recipe) -> list[int]:
    """The candidates that are tried, in order: the whole grid, or `trials` of it drawn without replacement.

    The draw depends on the grid alone, and fewer trials are the first ones of more.
    """
    total = combinations(recipe)
    if recipe.trials is None or recipe.trials >= total:
        return list(range(total))
    seed = int(digest_of(recipe.search)[:15], 16)
    # Of Python's generators only `random()` promises the same numbers in every version.
    generator = random.Random(stream_seed(seed, "search"))
    drawn: dict[int, None] = {}
    while len(drawn) < recipe.trials:
        drawn[int(generator.random() * total)] = None
    return sorted(drawn)


def values_of(recipe: Recipe, candidate: int) -> dict[str, Any]:
    """The values of a candidate by key, as they stand in `search`."""
    values = {}
    for key in sorted(recipe.search, reverse=True):
        candidate, position = divmod(candidate, len(recipe.search[key]))
        values[key] = recipe.search[key][position]
    return dict(sorted(values.items()))


def candidate_of(recipe: Recipe, candidate: int) -> Recipe:
    """The recipe that a candidate is trained with; it searches no more.

    Raises:
        ValueError: a value is not valid for its key.
    """
    kept = recipe.model_dump(exclude={"search", "trials", "search_seeds"})
    return Recipe.model_validate({**kept, **values_of(recipe, candidate)})


def budget(recipe: Recipe) -> int:
    """Trainings that choosing takes for one cell; 0 without `search`."""
    return len(tried(recipe)) * len(recipe.search_seeds)

"""Recipes that read a pooler where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem, one_of
from transfer_atlas.settings import WORD_TYPES, Pooling, Settings

_OTHERS = [pooling for pooling in get_args(Pooling) if pooling != "pooler"]


def in_poolings(settings: Settings) -> Iterator[Problem]:
    """Heads, tasks and models that the pooler does not go with; unknown names have been reported."""
    reading = {name: recipe for name, recipe in settings.recipes.items() if recipe.pooling == "pooler"}
    for name, recipe in reading.items():
        if recipe.head != "linear":
            unfit = f"head {recipe.head}"
        elif recipe.pairs == "separate":
            unfit = "pairs: separate"
        else:
            continue
        yield Problem(("recipes", name, "pooling"), recipe.pooling, one_of(recipe.pooling, _OTHERS, f"with {unfit} "))
    for key, name, tasks, models in _uses(settings):
        if name in reading:
            for what in [*_of_words(settings, tasks), *_elmos(settings, models)]:
                yield Problem(key, name, f"its pooling is pooler; {one_of('pooler', _OTHERS, f'for {what} ')}")


def _uses(settings: Settings) -> Iterator[tuple[Key, str, Sequence[str], Sequence[str]]]:
    """Each place that names a recipe, with the tasks and models that it is used on there."""
    for name, entry in settings.intermediates.items():
        followed = [experiment.models for experiment in settings.experiments if name in experiment.intermediates]
        models = list(dict.fromkeys(model for models in followed for model in models))
        yield ("intermediates", name, "recipe"), entry.recipe, [entry.task], models
    for position, experiment in enumerate(settings.experiments):
        for index, recipe in enumerate(experiment.recipes):
            yield ("experiments", position, "recipes", index), recipe, experiment.tasks, experiment.models
    for position, diagnostic in enumerate(settings.diagnostics):
        for index, recipe in enumerate(diagnostic.recipes):
            yield ("diagnostics", position, "recipes", index), recipe, diagnostic.tasks, diagnostic.models


def _of_words(settings: Settings, tasks: Sequence[str]) -> list[str]:
    """Those of these tasks that are given word by word, with their types."""
    types = {name: settings.tasks[name].type for name in tasks if name in settings.tasks}
    return [f"{name} ({kind})" for name, kind in types.items() if kind in WORD_TYPES]


def _elmos(settings: Settings, models: Sequence[str]) -> list[str]:
    """Those of these models that are ELMo, which has no pooler."""
    return [f"{name} (elmo)" for name in models if name in settings.models and settings.models[name].kind == "elmo"]

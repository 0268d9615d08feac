"""Recipes that read a classification token or a pooler where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from transfer_atlas.configuration.contradictions.intermediates import links_of
from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem, one_of
from transfer_atlas.settings import WORD_TYPES, Experiment, Pooling, Recipe, Settings, Transferability

# Of texts that begin or end with a classification token.
_OF_CLASSIFICATION = ("cls", "pooler")
_ANYWHERE = [pooling for pooling in get_args(Pooling) if pooling not in _OF_CLASSIFICATION]
_POOLING_HEADS = ("linear", "scalar_mix_linear", "scalar_mix_mlp")


def in_poolings(settings: Settings) -> Iterator[Problem]:
    """Heads, tasks and models that a recipe's pooling does not go with; unknown names have been reported."""
    reading = {name: recipe for name, recipe in settings.recipes.items() if recipe.pooling in _OF_CLASSIFICATION}
    for name, recipe in reading.items():
        if unfit := _unfit(recipe):
            allowed = _ANYWHERE if recipe.head not in _POOLING_HEADS else [*_ANYWHERE, "cls"]
            yield Problem(
                ("recipes", name, "pooling"), recipe.pooling, one_of(recipe.pooling, allowed, f"with {unfit} ")
            )
    for key, name, tasks, models in _uses(settings):
        if name in reading:
            pooling = reading[name].pooling
            for what in [*_of_words(settings, tasks), *_elmos(settings, models)]:
                yield Problem(key, name, f"its pooling is {pooling}; {one_of(pooling, _ANYWHERE, f'for {what} ')}")


def _unfit(recipe: Recipe) -> str | None:
    """What of the recipe its pooling does not go with."""
    if recipe.head != "linear" and (recipe.pooling == "pooler" or recipe.head not in _POOLING_HEADS):
        return f"head {recipe.head}"
    return "pairs: separate" if recipe.pooling == "pooler" and recipe.pairs == "separate" else None


def _uses(settings: Settings) -> Iterator[tuple[Key, str, Sequence[str], Sequence[str]]]:
    """Each place that names a recipe, with the tasks and models that it is used on there."""
    starting: list[Experiment | Transferability] = [*settings.experiments, *settings.transferability]
    for name, entry in settings.intermediates.items():
        models = list(
            dict.fromkeys(
                model
                for asking in starting
                for last in asking.intermediates
                if last in settings.intermediates and name in links_of(settings, last)
                for model in asking.models
            )
        )
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
    """Those of these models that are ELMo, which has neither classification token nor pooler."""
    return [f"{name} (elmo)" for name in models if name in settings.models and settings.models[name].kind == "elmo"]

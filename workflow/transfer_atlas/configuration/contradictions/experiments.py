"""Experiments that combine what cannot be combined, or name what is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transfer_atlas.configuration.contradictions.frozen_layers import in_frozen_layers
from transfer_atlas.configuration.contradictions.heads import in_heads
from transfer_atlas.configuration.contradictions.intermediates import in_intermediates_of
from transfer_atlas.configuration.contradictions.surgeries import in_surgeries_of
from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem, unknown
from transfer_atlas.plan import NONE
from transfer_atlas.settings import Experiment, Settings


def unknown_in_experiment(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """Names that no entry has."""
    groups: dict[str, tuple[list[str], Iterable[str], str]] = {
        "models": (experiment.models, settings.models, "model"),
        "tasks": (experiment.tasks, settings.tasks, "task"),
        "recipes": (experiment.recipes, settings.recipes, "recipe"),
        "intermediates": (experiment.intermediates, {NONE, *settings.intermediates}, "intermediate task"),
        "surgeries": (experiment.surgeries, {NONE, *settings.surgeries}, "surgery"),
    }
    for group, (names, allowed, what) in groups.items():
        for index, name in enumerate(names):
            yield from unknown((*key, group, index), name, allowed, what)


def in_experiment(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """What does not go together; names that are unknown have been reported and are passed over."""
    recipes = {name: settings.recipes[name] for name in experiment.recipes if name in settings.recipes}
    for model in experiment.models:
        if model not in settings.models:
            continue
        layers = settings.models[model].layers
        for name, recipe in recipes.items():
            if isinstance(recipe.layer, int) and recipe.layer > layers:
                message = f"{model} has {layers} layers; allowed are last and 0 to {layers}"
                yield Problem(("recipes", name, "layer"), recipe.layer, message)
    yield from in_frozen_layers(settings, key, experiment)
    yield from in_surgeries_of(settings, key, experiment)
    yield from in_heads(settings, key, experiment)
    yield from in_intermediates_of(settings, key, experiment)
    operations = [(index, name) for index, name in enumerate(experiment.surgeries) if name != NONE]
    finetuned = any(recipe.method == "finetune" for recipe in recipes.values())
    if recipes and not (finetuned and NONE in experiment.intermediates):
        # Such combinations are not made, and a run that is asked for must not be missing without a word.
        for index, name in operations:
            message = (
                "goes with a recipe of method finetune and intermediate task none; this experiment lists no such pair"
            )
            yield Problem((*key, "surgeries", index), name, message)
    if experiment.depths != "all" and not operations and all(recipe.layer != "each" for recipe in recipes.values()):
        message = "only surgeries and recipes with layer: each have depths; add one, or leave depths out"
        yield Problem((*key, "depths"), experiment.depths, message)

"""Experiments that combine what cannot be combined, or name what is not there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from transfer_atlas.configuration.contradictions.heads import in_heads
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
        for index, depth in enumerate([] if experiment.depths == "all" else experiment.depths):
            if depth > layers:
                message = f"{model} has {layers} layers; allowed are 0 to {layers}"
                yield Problem((*key, "depths", index), depth, message)
        for name, recipe in recipes.items():
            if recipe.layer != "last" and recipe.layer > layers:
                message = f"{model} has {layers} layers; allowed are last and 0 to {layers}"
                yield Problem(("recipes", name, "layer"), recipe.layer, message)
    yield from _in_frozen_layers(settings, key, experiment)
    yield from in_heads(settings, key, experiment)
    for index, name in enumerate(experiment.intermediates):
        entry = settings.intermediates.get(name)
        if entry is not None and entry.task in experiment.tasks:
            message = f"trains on {entry.task}, which is also a target here; list them in separate experiments"
            yield Problem((*key, "intermediates", index), name, message)
    operations = [(index, name) for index, name in enumerate(experiment.surgeries) if name != NONE]
    finetuned = any(recipe.method == "finetune" for recipe in recipes.values())
    if recipes and not (finetuned and NONE in experiment.intermediates):
        # Such combinations are not made, and a run that is asked for must not be missing without a word.
        for index, name in operations:
            message = (
                "goes with a recipe of method finetune and intermediate task none; this experiment lists no such pair"
            )
            yield Problem((*key, "surgeries", index), name, message)
    if experiment.depths != "all" and not operations:
        message = "only a surgery keeps some layers and not others; add surgeries, or leave depths out"
        yield Problem((*key, "depths"), experiment.depths, message)


def _in_frozen_layers(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """More frozen layers than a model has, and frozen layers that a surgery would reinitialise."""
    before = [
        settings.intermediates[name].recipe for name in experiment.intermediates if name in settings.intermediates
    ]
    frozen: dict[str, int] = {}
    for name in (*experiment.recipes, *before):
        recipe = settings.recipes.get(name)
        if recipe is not None and recipe.method == "finetune" and recipe.frozen_layers is not None:
            frozen[name] = recipe.frozen_layers
    too_many = set()
    for name, kept in frozen.items():
        for model in experiment.models:
            if model in settings.models and kept > (layers := settings.models[model].layers):
                too_many.add(name)
                message = f"{model} has {layers} layers; allowed are 0 to {layers}"
                yield Problem(("recipes", name, "frozen_layers"), kept, message)
    if all(name == NONE for name in experiment.surgeries):
        return
    for name in (name for name in experiment.recipes if name in frozen and name not in too_many):
        kept = frozen[name]
        message = f"{name} freezes {kept} layers, which must keep their weights; list depths of at least {kept}"
        if experiment.depths == "all" and kept > 0:
            yield Problem((*key, "depths"), experiment.depths, message)
        for index, depth in enumerate([] if experiment.depths == "all" else experiment.depths):
            if depth < kept:
                yield Problem((*key, "depths", index), depth, message)

"""Heads that do not fit a task, and surgeries that do not fit a model."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem, one_of
from transfer_atlas.plan import NONE
from transfer_atlas.settings import HEADS_BY_TYPE, Experiment, Settings


def in_heads(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """What an experiment combines that no head can do; unknown names have been reported and are passed over."""
    recipes = {name: settings.recipes[name] for name in experiment.recipes if name in settings.recipes}
    models = {name: settings.models[name] for name in experiment.models if name in settings.models}
    for name in (name for name in experiment.tasks if name in settings.tasks):
        task = settings.tasks[name]
        for index, recipe_name in enumerate(experiment.recipes):
            recipe = recipes.get(recipe_name)
            if recipe is None:
                continue
            allowed = HEADS_BY_TYPE[task.type]
            if recipe.head not in allowed:
                message = f"its head is {recipe.head}; {one_of(recipe.head, allowed, f'for {name} ({task.type}) ')}"
                yield Problem((*key, "recipes", index), recipe_name, message)
    elmo = [name for name, model in models.items() if model.kind == "elmo"]
    for index, surgery in enumerate(experiment.surgeries):
        if elmo and surgery != NONE:
            message = f"reinitialises transformer layers, and {elmo[0]} has none; list it in another experiment"
            yield Problem((*key, "surgeries", index), surgery, message)

"""More frozen layers than a model has, and frozen layers that a surgery would change."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_atlas import surgeries
from transfer_atlas.configuration.contradictions.intermediates import links_of
from transfer_atlas.configuration.contradictions.surgeries import asked_depths
from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem
from transfer_atlas.plan import NONE
from transfer_atlas.settings import Experiment, Settings


def in_frozen_layers(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """Of the recipes of an experiment and those of its intermediate tasks."""
    before = [
        settings.intermediates[link].recipe
        for name in experiment.intermediates
        if name in settings.intermediates
        for link in links_of(settings, name)
    ]
    models = {name: settings.models[name] for name in experiment.models if name in settings.models}
    frozen: dict[str, int] = {}
    for name in dict.fromkeys([*experiment.recipes, *before]):
        recipe = settings.recipes.get(name)
        if recipe is None or recipe.method != "finetune" or recipe.frozen_layers is None:
            continue
        frozen[name] = recipe.frozen_layers
        for model, entry in models.items():
            if recipe.frozen_layers > entry.layers:
                message = f"{model} has {entry.layers} layers; allowed are 0 to {entry.layers}"
            elif entry.shared_layers and 0 < recipe.frozen_layers < entry.layers:
                message = f"the layers of {model} share their weights; allowed are 0 and {entry.layers}"
            else:
                continue
            frozen.pop(name, None)
            yield Problem(("recipes", name, "frozen_layers"), recipe.frozen_layers, message)
    for index, surgery in enumerate(experiment.surgeries):
        if surgery == NONE or surgery not in settings.surgeries:
            continue
        for name in (name for name in experiment.recipes if frozen.get(name, 0) > 0):
            if changed := _lowest_changed(settings, experiment, surgery, list(models), frozen[name]):
                message = (
                    f"changes layer {changed}, but {name} freezes {frozen[name]} layers, "
                    "which must keep their weights; list depths that leave them alone, or another recipe"
                )
                yield Problem((*key, "surgeries", index), surgery, message)


def _lowest_changed(
    settings: Settings, experiment: Experiment, surgery: str, models: list[str], frozen: int
) -> int | None:
    """The lowest of the bottom `frozen` layers that a surgery changes somewhere, or None."""
    changed = set()
    for model in models:
        layers = settings.models[model].layers
        for depth in asked_depths(settings, experiment, model, surgery):
            operation = surgeries.operation(settings.surgeries[surgery], depth, layers)
            moved = {place for place, old in enumerate(operation.order, 1) if place != old}
            changed |= {layer for layer in {*operation.redrawn, *moved} if layer <= frozen}
    return min(changed, default=None)

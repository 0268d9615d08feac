"""Heads that do not fit a task."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem, one_of
from transfer_atlas.settings import HEADS_BY_TYPE, Experiment, Settings


def in_heads(settings: Settings, key: Key, experiment: Experiment) -> Iterator[Problem]:
    """What an experiment combines that no head can do; unknown names have been reported and are passed over."""
    for task in experiment.tasks:
        for index, recipe in enumerate(experiment.recipes):
            yield from _unfit((*key, "recipes", index), settings, recipe, task)


def in_heads_beside_experiments(settings: Settings) -> Iterator[Problem]:
    """The same of intermediate trainings and diagnostics."""
    for name, entry in settings.intermediates.items():
        yield from _unfit(("intermediates", name, "recipe"), settings, entry.recipe, entry.task)
    for position, diagnostic in enumerate(settings.diagnostics):
        for task in diagnostic.tasks:
            for index, recipe in enumerate(diagnostic.recipes):
                yield from _unfit(("diagnostics", position, "recipes", index), settings, recipe, task)


def _unfit(key: Key, settings: Settings, recipe: str, task: str) -> Iterator[Problem]:
    """The problem of a recipe whose head is for tasks of another type, or nothing."""
    if recipe not in settings.recipes or task not in settings.tasks:
        return
    head, task_type = settings.recipes[recipe].head, settings.tasks[task].type
    allowed = HEADS_BY_TYPE[task_type]
    if head not in allowed:
        yield Problem(key, recipe, f"its head is {head}; {one_of(head, allowed, f'for {task} ({task_type}) ')}")

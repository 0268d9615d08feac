"""Diagnostics, comparisons of domains and predictions of transfer that cannot be made."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_atlas.configuration.contradictions.intermediates import links_of
from transfer_atlas.configuration.files import Key
from transfer_atlas.configuration.wording import Problem, unknown
from transfer_atlas.settings import WORD_TYPES, Diagnostic, Settings


def in_diagnostics(settings: Settings) -> Iterator[Problem]:
    """Unknown names, tasks without texts, recipes that train no encoder."""
    for position, diagnostic in enumerate(settings.diagnostics):
        yield from _in_diagnostic(settings, ("diagnostics", position), diagnostic)


def _in_diagnostic(settings: Settings, key: Key, diagnostic: Diagnostic) -> Iterator[Problem]:
    for index, name in enumerate(diagnostic.models):
        yield from unknown((*key, "models", index), name, settings.models, "model")
    for index, name in enumerate(diagnostic.tasks):
        yield from unknown((*key, "tasks", index), name, settings.tasks, "task")
        if name in settings.tasks and settings.tasks[name].type in WORD_TYPES:
            message = f"layers are probed on whole texts, and {name} has words; list another task"
            yield Problem((*key, "tasks", index), name, message)
    for index, name in enumerate(diagnostic.recipes):
        yield from unknown((*key, "recipes", index), name, settings.recipes, "recipe")
        if name in settings.recipes and settings.recipes[name].method != "finetune":
            message = "changes no layer of the encoder; list recipes with method finetune"
            yield Problem((*key, "recipes", index), name, message)


def in_domains(settings: Settings) -> Iterator[Problem]:
    """Unknown names, tasks without groups or without texts."""
    for position, domain in enumerate(settings.domains):
        key: Key = ("domains", position)
        yield from unknown((*key, "task"), domain.task, settings.tasks, "task")
        yield from unknown((*key, "reference"), domain.reference, settings.tasks, "task")
        if domain.task not in settings.tasks:
            continue
        task = settings.tasks[domain.task]
        if task.type in WORD_TYPES:
            message = f"scores by group are made of texts, and {task.type} reads words; name another task"
            yield Problem((*key, "task"), domain.task, message)
        elif task.fields.group is None:
            message = "has no groups; name the column that divides its rows in its fields.group"
            yield Problem((*key, "task"), domain.task, message)


def in_transferability(settings: Settings) -> Iterator[Problem]:
    """Unknown names, tasks whose words are read, and targets that were trained on before."""
    for position, entry in enumerate(settings.transferability):
        key: Key = ("transferability", position)
        for index, name in enumerate(entry.models):
            yield from unknown((*key, "models", index), name, settings.models, "model")
        for index, name in enumerate(entry.intermediates):
            yield from unknown((*key, "intermediates", index), name, settings.intermediates, "intermediate task")
            task = settings.intermediates[name].task if name in settings.intermediates else ""
            if task in settings.tasks and settings.tasks[task].type in WORD_TYPES:
                message = f"scores read whole texts, and its task {task} has words; list another intermediate task"
                yield Problem((*key, "intermediates", index), name, message)
        for index, name in enumerate(entry.tasks):
            yield from unknown((*key, "tasks", index), name, settings.tasks, "task")
            if name in settings.tasks and settings.tasks[name].type in WORD_TYPES:
                message = f"scores read whole texts, and {name} has words; list another task"
                yield Problem((*key, "tasks", index), name, message)
            for before in entry.intermediates:
                links = links_of(settings, before) if before in settings.intermediates else []
                if name in (settings.intermediates[link].task for link in links):
                    message = f"{before} trains on it; list another target, or another intermediate task"
                    yield Problem((*key, "tasks", index), name, message)

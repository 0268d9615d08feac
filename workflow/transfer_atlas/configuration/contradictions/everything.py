"""All settings that do not go together."""

from __future__ import annotations

from collections.abc import Iterator

from transfer_atlas.configuration.contradictions.diagnostics import (
    in_diagnostics,
    in_domains,
    in_transferability,
)
from transfer_atlas.configuration.contradictions.experiments import in_experiment, unknown_in_experiment
from transfer_atlas.configuration.contradictions.heads import in_heads_beside_experiments
from transfer_atlas.configuration.contradictions.intermediates import in_intermediates
from transfer_atlas.configuration.contradictions.pooling import in_poolings
from transfer_atlas.configuration.contradictions.recipes import in_recipes
from transfer_atlas.configuration.contradictions.search import in_search
from transfer_atlas.configuration.contradictions.surgeries import in_surgeries
from transfer_atlas.configuration.contradictions.tasks import in_task
from transfer_atlas.configuration.wording import ENTRY, Problem, unknown
from transfer_atlas.plan import NONE
from transfer_atlas.settings import Settings


def contradictions(settings: Settings) -> Iterator[Problem]:
    """Everything in valid settings that cannot be run."""
    for name, model in settings.models.items():
        yield from unknown(("models", name, "artifact"), model.artifact, settings.artifacts, "artifact")
        if model.kind == "elmo" and model.shared_layers:
            message = "each LSTM layer of ELMo has weights of its own; leave it out"
            yield Problem(("models", name, "shared_layers"), model.shared_layers, message)
    for name, task in settings.tasks.items():
        if task.artifact is not None:
            yield from unknown(("tasks", name, "artifact"), task.artifact, settings.artifacts, "artifact")
        yield from in_task(("tasks", name), task)
    yield from in_recipes(settings)
    yield from in_surgeries(settings)
    for group in ("surgeries", "intermediates"):
        if NONE in getattr(settings, group):
            yield Problem((group, NONE), ENTRY, "this name is reserved for doing nothing; choose another")
    yield from in_intermediates(settings)
    yield from in_search(settings)
    yield from in_heads_beside_experiments(settings)
    yield from in_poolings(settings)
    yield from in_diagnostics(settings)
    yield from in_domains(settings)
    yield from in_transferability(settings)
    for position, experiment in enumerate(settings.experiments):
        yield from unknown_in_experiment(settings, ("experiments", position), experiment)
        yield from in_experiment(settings, ("experiments", position), experiment)

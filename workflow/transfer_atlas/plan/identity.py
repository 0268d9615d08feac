"""What identifies a run: all that decides its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transfer_atlas.identity import code_digest, digest_of
from transfer_atlas.plan.cells import NONE, Cell, Run
from transfer_atlas.plan.dependencies import engine_settings, recipe_settings, task_settings
from transfer_atlas.plan.states import intermediate_cell, intermediate_seed
from transfer_atlas.plan.trainings import operation_of, recipe_of, surgery_of
from transfer_atlas.settings import Settings

# The modules that compute a run's result, as opposed to those that store or tabulate it.
CODE_OF_METHOD = {
    "finetune": ("training.finetuning",),
    "extract": ("representations.features", "representations.extraction", "models.loading"),
}


@dataclass(frozen=True)
class Sources:
    """Where a run's identity gets the digests of things that are not settings.

    Both raise FileNotFoundError while the thing has not been made.
    """

    artifact: Callable[[str], str]
    data: Callable[[str], str]


def run_identity(settings: Settings, cell: Cell, run: Run, sources: Sources) -> dict[str, Any]:
    """All that decides a run's result: settings, data, model and code. Names of entries do not, so they are absent.

    Surgeries that come to the same are the same: one that changes no layer is no surgery, and a block that ends at the
    highest layer is a progressive one. Such runs are computed once.
    """
    recipe = recipe_of(settings, cell, run)
    data: dict[str, Any] = {"task": sources.data(cell.task)}
    if cell.target is not None:
        data["without"] = sources.data(cell.target)
    return {
        "settings": {
            "task": task_settings(settings.tasks[cell.task], recipe),
            "recipe": recipe_settings(recipe),
            "surgery": _operation_settings(settings, cell, run),
            "size": cell.size,
            "seed": run.seed,
            # Equal up to rounding, but not to the bit.
            "engine": engine_settings(settings, recipe.method),
        },
        "data": data,
        "model": _model_identity(settings, cell, run, sources),
        "code": code_digest(*CODE_OF_METHOD[recipe.method]),
    }


def _operation_settings(settings: Settings, cell: Cell, run: Run) -> dict[str, Any] | None:
    """What is done to which layers, and how."""
    operation = operation_of(settings, cell, run)
    if operation.order:
        return {"order": operation.order}
    if not operation.redrawn:
        return None
    surgery = surgery_of(settings, cell.surgery)
    how = surgery.model_dump(mode="json", include={"init", "biases", "layer_norm", "rate_factor"})
    return {"redrawn": operation.redrawn, **how}


def _model_identity(settings: Settings, cell: Cell, run: Run, sources: Sources) -> dict[str, Any]:
    if cell.intermediate == NONE:
        entry = settings.models[cell.model]
        kept = {"folder": entry.folder, "kind": entry.kind, "layers": entry.layers}
        return {"artifact": sources.artifact(entry.artifact), **kept}
    seed = intermediate_seed(settings.intermediates[cell.intermediate], run.seed)
    before = intermediate_cell(settings, cell.model, cell.intermediate, cell.task, seed)
    return {"run": digest_of(run_identity(settings, before, before.runs[0], sources))}

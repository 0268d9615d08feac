"""What identifies a run: all that decides its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transfer_atlas.identity import code_digest, digest_of
from transfer_atlas.plan.cells import Cell, Run
from transfer_atlas.plan.chains import Decontaminated, updates_of
from transfer_atlas.plan.dependencies import engine_settings, recipe_settings, task_settings
from transfer_atlas.plan.states import intermediate_cell
from transfer_atlas.plan.trainings import goes_on_with_head, operation_of, recipe_of, surgery_of
from transfer_atlas.settings import Settings

# The modules that compute a run's result, as opposed to those that store or tabulate it.
CODE_OF_METHOD = {
    "finetune": ("training.finetuning",),
    "extract": ("representations.features", "representations.extraction", "models.loading"),
}


@dataclass(frozen=True)
class Sources:
    """Where a run's identity gets what is not in the settings: digests of artifacts and prepared tasks, and what is
    left of the task of an intermediate entry.

    All raise FileNotFoundError while the thing has not been made.
    """

    artifact: Callable[[str], str]
    data: Callable[[str], str]
    decontaminated: Callable[[str], Decontaminated]


def run_identity(settings: Settings, cell: Cell, run: Run, sources: Sources) -> dict[str, Any]:
    """All that decides a run's result: settings, data, model and code. Names of entries do not, so they are absent.

    Surgeries that come to the same are the same: one that changes no layer is no surgery, and a block that ends at the
    highest layer is a progressive one. Such runs are computed once.
    """
    recipe = recipe_of(settings, cell, run)
    data: dict[str, Any] = {"task": sources.data(cell.task)}
    if cell.trains is not None and (left_out := sources.decontaminated(cell.trains).digest) is not None:
        data["without"] = left_out
    return {
        "settings": {
            "task": task_settings(settings.tasks[cell.task], recipe),
            "recipe": recipe_settings(recipe),
            "surgery": _operation_settings(settings, cell, run),
            "size": cell.size,
            "seed": run.seed,
            # Equal up to rounding, but not to the bit.
            "engine": engine_settings(settings, recipe.method),
            **_arm(settings, cell, sources),
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


def _arm(settings: Settings, cell: Cell, sources: Sources) -> dict[str, Any]:
    """What a run owes to an intermediate task besides the encoder: its head, or as many updates."""
    if cell.budget_of is not None:
        return {"more_updates": updates_of(settings, cell.budget_of, sources.decontaminated)}
    return {"head": "kept"} if goes_on_with_head(settings, cell) else {}


def _model_identity(settings: Settings, cell: Cell, run: Run, sources: Sources) -> dict[str, Any]:
    if cell.before is None:
        entry = settings.models[cell.model]
        kept = {"folder": entry.folder, "kind": entry.kind, "layers": entry.layers}
        return {"artifact": sources.artifact(entry.artifact), **kept}
    assert run.start is not None, f"{cell.name} has a run that starts nowhere"
    before = intermediate_cell(settings, cell.model, cell.before, run.start)
    return {"run": digest_of(run_identity(settings, before, before.runs[0], sources))}

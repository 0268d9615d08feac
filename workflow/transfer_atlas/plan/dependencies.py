"""The settings that each job depends on, and no others: what its rule declares as `params`."""

from __future__ import annotations

from typing import Any

from transfer_atlas.plan.cells import NONE, Bundle, Cell, State
from transfer_atlas.plan.trainings import recipe_of, surgery_of
from transfer_atlas.settings import Intermediate, Recipe, Settings, Surgery, Task

# Of a task's settings: what preparation reads, and what training reads. The rest is for show.
_PREPARED = set(["type", "artifact", "files", "format", "quoting", "header", "columns", "extra_columns", "encoding"])
_PREPARED |= set(["fields", "where", "labels", "tags", "score_range", "carve", "limit", "bad_rows"])


def preparation_settings(task: Task) -> dict[str, Any]:
    """The settings that the prepared data depend on."""
    return task.model_dump(mode="json", include=_PREPARED)


def model_settings(settings: Settings, model: str) -> dict[str, Any]:
    """The settings that the loaded encoder depends on."""
    return settings.models[model].model_dump(
        mode="json", include={"artifact", "folder", "kind", "layers", "shared_layers"}
    )


def _shown_apart(entry: Surgery | Intermediate) -> dict[str, Any]:
    """All settings of an entry but the label, which only tables and figures show."""
    return entry.model_dump(mode="json", exclude={"label"})


def recipe_settings(recipe: Recipe) -> dict[str, Any]:
    """What a run is trained with, which does not say how that was chosen."""
    return recipe.model_dump(mode="json", exclude={"label", "search", "trials", "search_seeds"})


def _search_settings(task: Task, recipe: Recipe) -> dict[str, Any] | None:
    """What the choice of hyper-parameters depends on beyond the trials themselves."""
    if not recipe.search:
        return None
    chosen = recipe.model_dump(mode="json", include={"search", "trials", "search_seeds"})
    return {**chosen, "metric": task.main_metric}


def task_settings(task: Task, recipe: Recipe) -> dict[str, Any]:
    selects = {"metric": task.main_metric} if recipe.select == "best" else {}
    tags = {"tags": task.tags} if task.type == "token_labelling" else {}
    return {"type": task.type, "max_length": task.max_length, **tags, **selects}


def _intermediate_settings(settings: Settings, name: str | None) -> dict[str, Any] | None:
    if name is None:
        return None
    entry = settings.intermediates[name]
    recipe = settings.recipes[entry.recipe]
    return {
        **_shown_apart(entry),
        "after": _intermediate_settings(settings, entry.after),
        "recipe": recipe_settings(recipe),
        "task_settings": task_settings(settings.tasks[entry.task], recipe),
    }


def engine_settings(settings: Settings, method: str) -> dict[str, Any]:
    """How runs are computed, as far as it concerns a method: encoding alone, or training the encoder too."""
    return settings.engine.model_dump(mode="json", include={"batching", "layers"} if method == "extract" else None)


def cell_settings(settings: Settings, cell: Cell) -> dict[str, Any]:
    """Every setting that a cell's runs depend on."""
    recipe = recipe_of(settings, cell)
    return {
        "cell": cell.name,
        "trains": cell.trains,
        "runs": [[run.depth, run.seed, run.start] for run in cell.runs],
        "kept": cell.kept,
        "model": model_settings(settings, cell.model),
        "task": task_settings(settings.tasks[cell.task], recipe),
        "recipe": recipe_settings(recipe),
        "search": _search_settings(settings.tasks[cell.task], recipe),
        "surgery": _shown_apart(surgery_of(settings, cell.surgery)),
        "intermediate": _intermediate_settings(settings, cell.entry),
        "engine": engine_settings(settings, recipe.method),
    }


def bundle_settings(settings: Settings, bundle: Bundle) -> list[dict[str, Any]]:
    """Every setting that a bundle's table depends on: what its rule declares as `params`."""
    return [cell_settings(settings, cell) for cell in bundle.cells]


def representation_settings(settings: Settings, state: State, layout_name: str) -> dict[str, Any]:
    """Every setting that representations depend on."""
    return {
        "model": model_settings(settings, state.model),
        "max_length": settings.tasks[state.task].max_length,
        "layout": layout_name,
        "intermediate": _intermediate_settings(settings, None if state.intermediate == NONE else state.intermediate),
        "recipe": None if state.recipe is None else recipe_settings(settings.recipes[state.recipe]),
        "size": state.size,
        "seed": state.seed,
        "engine": engine_settings(settings, "extract"),
    }

"""What the runs of a cell are trained with: recipe, surgery, and the trials that choose hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from transfer_atlas import candidates, surgeries
from transfer_atlas.plan.cells import NONE, Cell, Run
from transfer_atlas.settings import Recipe, Settings, Surgery
from transfer_atlas.surgeries import Operation

NO_SURGERY = Surgery(kind="none")


def surgery_of(settings: Settings, name: str) -> Surgery:
    """The surgery entry; `none` needs no entry."""
    return NO_SURGERY if name == NONE else settings.surgeries[name]


def recipe_of(settings: Settings, cell: Cell, run: Run | None = None) -> Recipe:
    """The recipe that a cell is trained with, its candidate's where it is one's; of a run, with the layer that it
    reads."""
    recipe = settings.recipes[cell.recipe]
    if cell.candidate is not None:
        recipe = candidates.candidate_of(recipe, cell.candidate)
    if run is not None and recipe.layer == "each":
        recipe = recipe.model_copy(update={"layer": run.depth})
    return recipe


def operation_of(settings: Settings, cell: Cell, run: Run) -> Operation:
    """What is done to which layers before a run."""
    surgery = surgery_of(settings, cell.surgery)
    if surgery.kind == "none":
        return Operation()
    assert run.depth is not None, f"{cell.name} has a surgery that acts nowhere"
    return surgeries.operation(surgery, run.depth, settings.models[cell.model].layers)


def start_seeds(settings: Settings, intermediate: str, seed: int) -> Sequence[int | None]:
    """Seeds of the intermediate trainings that a run with `seed` is to start from; None for the pretrained encoder."""
    if intermediate not in settings.intermediates:
        return [None]
    asked = settings.intermediates[intermediate].seed
    if asked == "paired":
        return [seed]
    return asked if isinstance(asked, list) else [asked]


def goes_on_with_head(settings: Settings, cell: Cell) -> bool:
    """Whether the runs start with the head of the intermediate training, too."""
    frozen = settings.recipes[cell.recipe].method == "extract"
    return not frozen and cell.before is not None and settings.intermediates[cell.before].head == "keep"


def searches(settings: Settings, cell: Cell) -> bool:
    """Whether the cell's hyper-parameters are still to be chosen."""
    return cell.candidate is None and cell.size != 0 and bool(settings.recipes[cell.recipe].search)


def trials_of(settings: Settings, cell: Cell) -> list[Cell]:
    """The trials by which a cell's hyper-parameters are chosen, one cell for each candidate; none without a search."""
    if not searches(settings, cell):
        return []
    recipe = settings.recipes[cell.recipe]
    runs = tuple(Run(None, seed, start_seeds(settings, cell.intermediate, seed)[0]) for seed in recipe.search_seeds)
    return [replace(cell, candidate=candidate, runs=runs) for candidate in candidates.tried(recipe)]


def number_of_trials(settings: Settings, cell: Cell) -> int:
    """How many trainings choosing a cell's hyper-parameters takes."""
    return candidates.budget(settings.recipes[cell.recipe]) if searches(settings, cell) else 0

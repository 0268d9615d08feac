"""Hyper-parameters are chosen on validation before a cell's runs are trained.

A trial is a run like any other: the recipe with a candidate's values, at the cell's own train size, with a seed that no
experiment uses. Trials are kept in the run store, so a wider grid trains only what is new in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from transfer_atlas import atomic, candidates, plan
from transfer_atlas.plan import Bundle, Cell, Run
from transfer_atlas.settings import Settings
from transfer_atlas.training.cell import Job, Together, Train, one_by_one, run_all
from transfer_atlas.training.checkpoint import StopRequest
from transfer_atlas.training.progress import Progress
from transfer_atlas.training.results import write_table
from transfer_atlas.training.selection import choose, mean_score, validation_score

# `settings`: the candidate's values by key, as JSON. `value`: the score on validation; none where training diverged.
COLUMNS: dict[str, pa.DataType] = {
    "model": pa.string(),
    "intermediate": pa.string(),
    "task": pa.string(),
    "recipe": pa.string(),
    "size": pa.string(),
    "candidate": pa.int64(),
    "settings": pa.string(),
    "seed": pa.int64(),
    "metric": pa.string(),
    "value": pa.float64(),
    "chosen": pa.bool_(),
    "run": pa.string(),
}

Result = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A training of a candidate: its score on validation (None: it diverged), and whether the candidate was chosen."""

    cell: Cell
    run: Run
    digest: str
    score: float | None
    chosen: bool


@dataclass(frozen=True)
class Searched:
    """The results of all runs of a bundle, in order, and the trials by which their hyper-parameters were chosen."""

    results: list[Result]
    trials: list[Trial]


def search_and_run(job: Job, train: Train, together: Together = one_by_one) -> Searched:
    """Choose the hyper-parameters of the cells that search, then do all runs of the bundle with them.

    The trials of all cells come first, so that heads of all candidates are trained together.
    """
    cells = job.bundle.cells
    progress = Progress(job.settings.execution.progress_seconds, 0, job.beacon)
    stop = StopRequest()

    def results_of(bundle: Bundle, later: int) -> dict[tuple[Cell, Run], Result]:
        part = replace(job, bundle=bundle)
        results = run_all(part, train, together, progress=progress, stop=stop, later=later)
        return dict(zip(bundle.runs, results, strict=True))

    before = Bundle(job.bundle.name, tuple(one for cell in cells for one in plan.trials_of(job.settings, cell)))
    tried = results_of(before, later=len(job.bundle.runs))
    trials: list[Trial] = []
    chosen: list[Cell] = []
    for cell in cells:
        judged = _judged(job, cell, tried)
        trials += judged
        candidate = next((trial.cell.candidate for trial in judged if trial.chosen), cell.candidate)
        chosen.append(replace(cell, candidate=candidate))
    bundle = Bundle(job.bundle.name, tuple(chosen))
    results = results_of(bundle, later=0)
    return Searched([results[place] for place in bundle.runs], trials)


def _judged(job: Job, cell: Cell, tried: Mapping[tuple[Cell, Run], Result]) -> list[Trial]:
    """The trials of a cell that searches, scored; says which candidate was chosen."""
    ones = plan.trials_of(job.settings, cell)
    if not ones:
        return []
    recipe, metric = job.settings.recipes[cell.recipe], job.settings.tasks[cell.task].main_metric
    scores = {one: [validation_score(tried[one, run], metric) for run in one.runs] for one in ones}
    best = choose(scores)
    assert best.candidate is not None
    values = ", ".join(f"{key} {value}" for key, value in candidates.values_of(recipe, best.candidate).items())
    score = f"validation {metric} {mean_score(scores[best]):.4f}"
    print(f"{cell.name}: of {len(ones)} candidates {values} is chosen, {score}", flush=True)
    return [
        Trial(one, run, tried[one, run]["digest"], score, one == best)
        for one in ones
        for run, score in zip(one.runs, scores[one], strict=True)
    ]


def write_trials(settings: Settings, bundle: Bundle, trials: Sequence[Trial]) -> None:
    """Write how the hyper-parameters of a bundle's cells were chosen; no rows where none were."""
    rows = [_row(settings, trial) for trial in trials]
    with atomic.replacing(plan.search_file(bundle.name)) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(COLUMNS.items()))), temporary)


def write_tables(job: Job, done: Searched) -> None:
    """Write the tables of a job: the runs of its bundle, their predictions and the trials before them."""
    write_trials(job.settings, job.bundle, done.trials)
    write_table(job.settings, job.bundle, done.results, job.store)


def _row(settings: Settings, trial: Trial) -> dict[str, Any]:
    cell = trial.cell
    recipe = plan.recipe_of(settings, cell)
    values = recipe.model_dump(mode="json", include=set(settings.recipes[cell.recipe].search))
    return {
        "model": cell.model,
        "intermediate": cell.intermediate,
        "task": cell.task,
        "recipe": cell.recipe,
        "size": str(cell.size),
        "candidate": cell.candidate,
        "settings": json.dumps(values, sort_keys=True),
        "seed": trial.run.seed,
        "metric": settings.tasks[cell.task].main_metric,
        "value": trial.score,
        "chosen": trial.chosen,
        "run": trial.digest,
    }

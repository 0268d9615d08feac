"""How long a plan will take: from runs already in the store, or from the arithmetic that the runs need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_atlas import atomic, plan
from transfer_atlas.plan import Bundle, Cell, Run
from transfer_atlas.settings import Settings
from transfer_atlas.tasks import description
from transfer_atlas.updates import total_steps

# What one core sustains on real tokens in this loop, measured with MiniLM-L6 in bfloat16 on one core of an EPYC 9005:
# only a start, replaced by the speed of this machine's own finished runs as soon as there are some.
DEFAULT_FLOPS_PER_SECOND = 1.6e11
# BERT-like encoders have 64 units a head and about as many heads as layers; only used before the model is fetched.
HIDDEN_PER_LAYER = 64
WORDS_TO_TOKENS = 1.4
JOB_START_SECONDS = 6.0
# A head's share of its stack, and what it takes to score and store it.
HEAD_RUN_SECONDS = 0.2
CALIBRATION_RUNS = 50
# Priority of the short jobs that others wait for; above every cell's.
OPENING_PRIORITY = 10_000_000


@dataclass(frozen=True)
class Speed:
    """Floating-point operations per second that fine-tuning sustains here, and whether that was measured."""

    flops_per_second: float
    measured: bool


def _flops_per_token(settings: Settings, model: str) -> float:
    """Multiply-adds of one token through all layers, forward, times two (a layer has 12 H^2 weights)."""
    layers = settings.models[model].layers
    try:
        config = atomic.read_json(plan.model_folder(settings, model) / "config.json")
        hidden = int(config["hidden_size"])
    except (OSError, KeyError, ValueError):
        hidden = HIDDEN_PER_LAYER * layers
    return 2.0 * layers * 12 * hidden**2


def _stats(task: str) -> dict[str, Any] | None:
    try:
        return description.describe(plan.task_folder(task))
    except (OSError, ValueError):
        return None


def _tokens_per_text(settings: Settings, task: str) -> float:
    """Average tokens of an input: from the prepared task's word counts, else a third of the limit."""
    limit = settings.tasks[task].max_length
    stats = _stats(task)
    if stats is None:
        return limit / 3
    texts = 2 if settings.tasks[task].fields.text_pair else 1
    return float(min(limit, 3 + WORDS_TO_TOKENS * texts * stats["words"]["train"]["mean"]))


def _rows(task: str, split: str, unknown: int) -> int:
    stats = _stats(task)
    return int(stats["rows"][split]) if stats else unknown


def _undiminished(settings: Settings, intermediate: str) -> plan.Decontaminated:
    """An intermediate task as if no row had to be left out."""
    return plan.Decontaminated(None, _rows(settings.intermediates[intermediate].task, "train", 10_000))


def run_flops(settings: Settings, cell: Cell) -> float:
    """Arithmetic of one fine-tuning run of a cell: training (3 times forward) and evaluation."""
    recipe = plan.recipe_of(settings, cell)
    n = _rows(cell.task, "train", 10_000) if cell.size == "all" else int(cell.size)
    steps = total_steps(n, recipe) if n else 0
    if cell.budget_of is not None:
        steps += plan.updates_of(settings, cell.budget_of, lambda name: _undiminished(settings, name))
    evaluated = _rows(cell.task, "validation", 500) + _rows(cell.task, "test", 1000)
    texts = 3 * min(steps * recipe.batch_size, steps * n) + evaluated
    return texts * _tokens_per_text(settings, cell.task) * _flops_per_token(settings, cell.model)


def run_seconds(settings: Settings, cell: Cell, speed: Speed) -> float:
    """Estimated seconds of one run of a cell on one core."""
    if settings.recipes[cell.recipe].method == "extract":
        return HEAD_RUN_SECONDS
    return run_flops(settings, cell) / speed.flops_per_second


def measured_speed(settings: Settings, finished: list[tuple[Cell, dict[str, Any]]]) -> Speed:
    """This machine's speed from finished fine-tuning runs."""
    flops = seconds = 0.0
    for cell, result in finished[-CALIBRATION_RUNS:]:
        if settings.recipes[cell.recipe].method == "finetune":
            flops += 3 * result["facts"]["tokens"] * _flops_per_token(settings, cell.model)
            seconds += result["facts"]["seconds"]
    return Speed(flops / seconds, True) if seconds > 0 else Speed(DEFAULT_FLOPS_PER_SECOND, False)


def priority(settings: Settings, cell: Cell) -> int:
    """Priority of a fine-tuning job: its estimated seconds, so that no heavy job is left for last."""
    trainings = len(cell.runs) + plan.number_of_trials(settings, cell)
    seconds = run_seconds(settings, cell, Speed(DEFAULT_FLOPS_PER_SECOND, False)) * trainings
    return round(min(seconds, OPENING_PRIORITY - 1))


def wall_seconds(settings: Settings, waiting: list[tuple[Cell, Run]], speed: Speed, cores: int) -> float:
    """Estimated wall time of these runs on so many cores, starting the jobs included."""
    seconds = sum(run_seconds(settings, cell, speed) for cell, _ in waiting)
    # An intermediate training is a job for each seed, which its cell holds.
    jobs = {cell if cell.trains else plan.bundle_name(settings, cell) for cell, _ in waiting}
    return (seconds + len(jobs) * JOB_START_SECONDS) / max(1, cores)


def beacon_file(bundle: Bundle) -> Path:
    """Where a running job says how far it is."""
    return plan.RESULTS / "running" / (bundle.name.replace("/", ".") + ".json")

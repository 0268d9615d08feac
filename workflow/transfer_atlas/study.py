"""What the Snakefile asks for beyond the plan: goals, checks, and the words before the first and after the last job."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from transfer_atlas import atomic, estimate, plan
from transfer_atlas.errors import UserError
from transfer_atlas.identity import PACKAGE_FOLDER, digest_of, file_digest
from transfer_atlas.plan import Cell, Plan, Run, Sources
from transfer_atlas.settings import Settings, Task
from transfer_atlas.tasks import description
from transfer_atlas.tasks.same_classes import check_kept_head
from transfer_atlas.training.progress import duration
from transfer_atlas.training.selection import choose, validation_score
from transfer_atlas.training.store import Store

TABLES = (
    "runs.csv",
    "scores.csv",
    "finetune_vs_extract.csv",
    "intermediate.csv",
    "zero_shot.csv",
    "transfer_signs.csv",
    "transfer_variance.csv",
    "transferability.csv",
    "transfer_prediction.csv",
    "decontamination.csv",
    "layers_kept.csv",
    "layer_gains.csv",
    "layer_probes.csv",
    "layer_scores.csv",
    "surgery_variants.csv",
    "localised.csv",
    "permutations.csv",
    "permutation_correlations.csv",
    "intermediate_training.csv",
    "search.csv",
    "costs.csv",
    "claims.csv",
    "peters2019.csv",
    "peters2019.md",
    "peters2019_analyses.csv",
    "tamkin2020.md",
    "mohapatra2022.md",
    "guidelines.csv",
    "guidelines.md",
    "diagnostics.csv",
    "domains.csv",
    "domain_correlations.csv",
    "overlap.csv",
    "findings.json",
    "findings.txt",
)
# Those that jobs of their own make, the others come from the runs.
NOT_FROM_RUNS = ("domains.csv", "domain_correlations.csv", "overlap.csv")
FIGURES = (
    "finetune_vs_extract",
    "intermediate",
    "transfer_matrix",
    "transfer_gain",
    "transfer_prediction",
    "layers_kept",
    "layer_gains",
    "seed_scatter",
    "surgery_variants",
    "localised",
    "permutations",
    "costs",
    "peters2019",
    "layer_curves",
)

_CATEGORY = {
    "runs": "All runs",
    "scores": "All runs",
    "overlap": "Data",
    "costs": "Costs",
    "findings": "Findings",
    "finetune_vs_extract": "Fine-tune or extract",
    "intermediate": "Intermediate task",
    "intermediate_training": "Intermediate task",
    "decontamination": "Intermediate task",
    "zero_shot": "Intermediate task",
    "transfer_matrix": "Intermediate task",
    "transfer_gain": "Intermediate task",
    "transfer_signs": "Intermediate task",
    "transfer_variance": "Intermediate task",
    "transferability": "Can one know before?",
    "transfer_prediction": "Can one know before?",
    "layers_kept": "Layers kept",
    "layer_gains": "Layers kept",
    "layer_probes": "Layers kept",
    "layer_scores": "Layers kept",
    "seed_scatter": "Layers kept",
    "surgery_variants": "Layers kept",
    "localised": "Blocks and order of layers",
    "permutations": "Blocks and order of layers",
    "permutation_correlations": "Blocks and order of layers",
    "search": "Hyper-parameters",
    "claims": "Claims",
    "guidelines": "Claims",
    "peters2019": "Peters et al. 2019",
    "peters2019_analyses": "Peters et al. 2019",
    "tamkin2020": "Tamkin et al. 2020",
    "mohapatra2022": "Mohapatra & Mohapatra 2022",
    "diagnostics": "Layer diagnostics",
    "layer_curves": "Layer diagnostics",
    "domains": "Domain",
    "domain_correlations": "Domain",
}
# The numbers that papers print, which tables and claims are compared with.
_PUBLISHED = PACKAGE_FOLDER / "analysis" / "published"
# What makes a recipe one side of a claim.
_SIDE = {"method", "head", "layer", "pairs", "unfreeze_epochs"}


def put_interpreter_on_path() -> None:
    """Make `python` in rules this interpreter, unless a deployment (conda, container) puts its own in front of it."""
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def in_report(path: Path) -> dict[str, Any]:
    """Arguments of Snakemake's `report()` for a table or figure."""
    kind = {".csv": "table", ".svg": "figure (svg)", ".png": "figure (png)"}.get(path.suffix, "text")
    return {
        "caption": f"../report/{path.stem}.rst",
        "category": _CATEGORY[path.stem],
        "labels": {"what": path.stem.replace("_", " "), "kind": kind},
    }


def labels(settings: Settings) -> dict[str, str]:
    """Display labels of entries that have one. An intermediate entry named after its task shows the task's."""
    groups = (settings.intermediates, settings.surgeries, settings.recipes, settings.tasks, settings.models)
    found = {name: entry.label for group in groups for name, entry in group.items() if entry.label}
    controls = {plan.control_of(name): f"none, updates of {found.get(name, name)}" for name in settings.intermediates}
    return controls | found


def analysis_settings(settings: Settings, selected: Plan) -> dict[str, Any]:
    """Every setting that the tables depend on: the declared grid, who plays what, main metrics and labels; and the
    papers' numbers."""
    cells = selected.cells.values()
    played = {"paper_name", "stand_in"}
    compared = {*played, "type", "family", "domain", "language"}
    intermediates = {name: settings.intermediates[name] for name in plan.intermediates_of(settings, selected)}
    tasks = {cell.task for cell in cells} | {entry.task for entry in intermediates.values()}
    return {
        "cells": {name: [[run.depth, run.seed, run.start] for run in c.runs] for name, c in selected.cells.items()},
        "metrics": {task: settings.tasks[task].main_metric for task in selected.tasks},
        "models": {c.model: settings.models[c.model].model_dump(include={*played, "layers"}) for c in cells},
        "tasks": {task: settings.tasks[task].model_dump(include=compared) for task in sorted(tasks)},
        "intermediates": {
            name: entry.model_dump(include={"task", "after", "head"}) for name, entry in intermediates.items()
        },
        "recipes": {c.recipe: settings.recipes[c.recipe].model_dump(include=_SIDE) for c in cells},
        "surgeries": {
            c.surgery: settings.surgeries[c.surgery].model_dump(exclude={"label"})
            for c in cells
            if c.surgery != plan.NONE
        },
        "order": _order(settings, selected),
        "labels": labels(settings),
        "published": {name: file_digest(file) for name, file in _published(settings).items()},
    }


def _published(settings: Settings) -> dict[str, Path]:
    """Files of the papers' numbers: ours by their name, and by paper those that the configuration names."""
    ours = {file.name: file for file in sorted(_PUBLISHED.glob("*.csv"))}
    return ours | {paper: Path(file) for paper, file in settings.published.items()}


def _order(settings: Settings, selected: Plan) -> dict[str, list[str]]:
    """Entries in use in the configuration's order: of several that play the same part the first speaks."""
    cells = selected.cells.values()
    used = {
        "models": {cell.model for cell in cells},
        "tasks": {cell.task for cell in cells},
        "recipes": {cell.recipe for cell in cells},
        "surgeries": {cell.surgery for cell in cells},
    }
    return {group: [name for name in getattr(settings, group) if name in names] for group, names in used.items()}


def compared_tasks(settings: Settings, selected: Plan) -> list[str]:
    """Target and intermediate tasks in use: their texts are compared."""
    before = {settings.intermediates[name].task for name in plan.intermediates_of(settings, selected)}
    scored = {place.task for place in plan.scored(settings)}
    return sorted({*selected.tasks, *before, *scored})


def own_files(task: Task) -> list[str]:
    """The files of a task without artifact, relative to the working folder; of a folder, every file in it."""
    found: list[str] = []
    for value in task.files.values():
        for name in [value] if isinstance(value, str) else value:
            path = Path(name)
            found += sorted(str(p) for p in path.rglob("*") if p.is_file()) if path.is_dir() else [name]
    return found


def check_files(settings: Settings, selected: Plan) -> None:
    """Stop before any job when a task's own files, or those of published numbers, are not there."""
    for paper, named in settings.published.items():
        if not Path(named).is_file():
            raise UserError(f"published.{paper}: {named} not found; name a file relative to {Path.cwd()}")
    for name in compared_tasks(settings, selected):
        task = settings.tasks[name]
        for split, files in task.files.items():
            for file in [files] if isinstance(files, str) else files:
                if task.artifact is None and not Path(file).exists():
                    raise UserError(
                        f"tasks.{name}.files.{split}: {file} not found; name a file relative to {Path.cwd()}"
                    )


def check_sizes(settings: Settings, selected: Plan) -> None:
    """Stop before any job when a train size is larger than a prepared task's training split.

    A task that has not been prepared yet has no known size; its first job then says so.
    """
    rows: dict[str, int | None] = {}
    for task in compared_tasks(settings, selected):
        try:
            rows[task] = int(description.describe(plan.task_folder(task))["rows"]["train"])
        except (OSError, KeyError, ValueError):
            rows[task] = None
    asked = {(f"experiments: a train size of {cell.size}", cell.task, cell.size) for cell in selected.cells.values()}
    for name in plan.intermediates_of(settings, selected):
        entry = settings.intermediates[name]
        asked.add((f"intermediates.{name}.size: a train size of {entry.size}", entry.task, entry.size))
    for text, task, size in sorted(asked, key=str):
        known = rows[task]
        if isinstance(size, int) and known is not None and size > known:
            raise UserError(
                f"{text} for {task} is impossible: it has {known} training rows; use at most {known}, or all"
            )


def check_kept_heads(settings: Settings, selected: Plan) -> None:
    """Stop before any job when a training is to go on with the head of another that has other classes.

    A task that has not been prepared yet has no known classes; the job that needs the head then says so.
    """
    before = [plan.cell_before(settings, state) for state in plan.intermediate_states(settings, selected)]
    for cell in [*before, *selected.cells.values()]:
        if plan.goes_on_with_head(settings, cell):
            with suppress(OSError, KeyError, ValueError):
                check_kept_head(settings, cell)


def write_settings(settings: Settings) -> None:
    """Write the resolved settings, which every step reads, with entries in the order of the configuration."""
    atomic.write_text(plan.SETTINGS_FILE, settings.model_dump_json(indent=1) + "\n")


def read_settings() -> Settings:
    """The resolved settings of the latest call of Snakemake.

    Raises:
        UserError: There are none.
    """
    try:
        return Settings.model_validate_json(plan.SETTINGS_FILE.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"{plan.SETTINGS_FILE} not found; run snakemake here first") from None
    except ValueError:
        raise UserError(f"{plan.SETTINGS_FILE} was written by another version; run snakemake here again") from None


def sources() -> Sources:
    """Digests of what lies below results/, each read once."""

    @cache
    def artifact(name: str) -> str:
        return str(atomic.read_json(plan.manifest_file(name))["digest"])

    @cache
    def data(task: str) -> str:
        return description.data_digest(plan.task_folder(task))

    @cache
    def decontaminated(intermediate: str) -> plan.Decontaminated:
        found = atomic.read_json(plan.left_out_file(intermediate))
        return plan.Decontaminated(found["digest"], int(found["train_rows"]))

    return Sources(artifact, data, decontaminated)


@dataclass(frozen=True)
class Known:
    """A run, its digest as soon as that can be told, and its result as soon as it is in the store.

    `cell` has the candidate where the run is a trial or its cell's search has ended.
    """

    cell: Cell
    run: Run
    digest: str | None
    result: dict[str, Any] | None


def known_runs(settings: Settings, selected: Plan, store: Store) -> Iterator[Known]:
    """Every run of the plan, trials too, in a fixed order."""
    made = sources()
    trials: dict[tuple[Cell, Run], dict[str, Any] | None] = {}
    chosen: dict[Cell, Cell | None] = {}

    def resolved(cell: Cell) -> Cell | None:
        """The cell with the candidate that its trials chose; None while one of them is missing."""
        metric = settings.tasks[cell.task].main_metric
        scores = {}
        for one in plan.trials_of(settings, cell):
            results = [trials[one, run] for run in one.runs]
            scores[one] = [validation_score(result, metric) for result in results if result is not None]
            if len(scores[one]) < len(results):
                return None
        return replace(cell, candidate=choose(scores).candidate)

    for cell, run in plan.all_runs(settings, selected):
        found: Cell | None = cell
        if plan.searches(settings, cell):
            if cell not in chosen:
                chosen[cell] = resolved(cell)
            found = chosen[cell]
        digest = result = None
        if found is not None:
            try:
                digest = digest_of(plan.run_identity(settings, found, run, made))
                result = store.peek(digest)
            except (OSError, KeyError, ValueError):
                pass  # its data or model is not there yet
            if found.candidate is not None:
                trials[found, run] = result
        yield Known(found or cell, run, digest, result)


class Done:
    """Which runs of a plan are in the store."""

    def __init__(self, settings: Settings, selected: Plan):
        self.finished: list[tuple[Cell, dict[str, Any]]] = []
        self.waiting: list[tuple[Cell, Run]] = []
        self.digests: set[str] = set()
        for known in known_runs(settings, selected, Store(plan.STORE)):
            if known.digest in self.digests:
                continue
            if known.digest is not None:
                self.digests.add(known.digest)
            if known.result is None:
                self.waiting.append((known.cell, known.run))
            else:
                self.finished.append((known.cell, known.result))

    @property
    def runs(self) -> int:
        """Different runs that the plan needs, trials too, as far as can be told."""
        return len(self.finished) + len(self.waiting)


def extent(settings: Settings, selected: Plan) -> str:
    """How many runs and cells a plan has, and how many trials to choose hyper-parameters by."""
    trials = sum(plan.number_of_trials(settings, cell) for cell in selected.cells.values())
    after = f" after {trials} trials" if trials else ""
    return f"{selected.runs} runs in {len(selected.cells)} cells{after}"


def describe_plan(settings: Settings, selected: Plan, cores: int | None) -> str:
    """What is ahead, in a few lines."""
    done = Done(settings, selected)
    speed = estimate.measured_speed(settings, done.finished)
    seconds = estimate.wall_seconds(settings, done.waiting, speed, cores or 1)
    basis = "at the speed of finished runs" if speed.measured else "a first guess; `status` knows more once runs finish"
    left = f"about {duration(seconds)} on {cores or 1} cores, {basis}" if done.waiting else "nothing left to train"
    return (
        f"Study {settings.study}: {extent(settings, selected)}; "
        f"{len(done.waiting)} to train, {len(done.finished)} in the store\n"
        f"Training: {left}\n"
        "Progress: python -m transfer_atlas status; logs in results/logs/"
    )


def laid_out(finding: str, width: int = 110) -> str:
    """A finding for the terminal: the question, then what was found at each place on lines of its own."""
    question, colon, told = finding.partition(": ")
    if not colon:
        return textwrap.fill(finding, width)
    places = [textwrap.fill(place, width, initial_indent="  ", subsequent_indent="    ") for place in told.split("; ")]
    return "\n".join([question, *places])


def describe_results() -> str:
    """Where the results are, and the findings."""
    lines = ["Results: tables in results/tables/, figures in results/figures/; make report builds report.html"]
    findings = plan.RESULTS / "tables" / "findings.txt"
    if findings.is_file():
        lines += [laid_out(line) for line in findings.read_text(encoding="utf-8").splitlines()]
    return "\n".join(lines)

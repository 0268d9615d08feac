"""`transfer_atlas status`: what is done, running and missing, the time left, and what nobody asks for."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_atlas import atomic, estimate, plan, study
from transfer_atlas.plan import Plan
from transfer_atlas.settings import Settings
from transfer_atlas.training import placement
from transfer_atlas.training.progress import duration
from transfer_atlas.training.store import Store

# A running job refreshes its beacon every few seconds; one this old belongs to a job that was killed.
STALE_SECONDS = 120.0


def _running(settings: Settings) -> list[dict[str, Any]]:
    states = []
    limit = max(STALE_SECONDS, 4 * settings.execution.progress_seconds)
    for path in sorted((plan.RESULTS / "running").glob("*.json")):
        try:
            state = atomic.read_json(path)
        except (OSError, ValueError):
            continue  # it was replaced or removed just now
        if time.time() - state["time"] < limit:
            states.append(state)
    return states


def describe(settings: Settings, cores: int) -> list[str]:
    """Lines that say how a study gets on."""
    selected = plan.expand(settings)
    done = study.Done(settings, selected)
    running = _running(settings)
    lines = [f"Study {settings.study}: {study.extent(settings, selected)}, {done.runs} different ones"]
    bundles = plan.bundles(settings, selected)
    tables = sum(plan.table_file(name).is_file() for name in bundles)
    lines.append(f"done     {len(done.finished)} runs, {tables} of {len(bundles)} tables")
    lines.append(f"running  {len(running)} jobs")
    lines += [
        f"         {state['run']}  step {state['step']}/{state['steps']}, "
        f"job {duration(state['job_seconds_left'])} left"
        for state in running
    ]
    lines += [
        f"{gpu}: processes {', '.join(map(str, processes))}"
        for gpu, processes in placement.holders(placement.default_folder()).items()
    ]
    lines.append(f"missing  {len(done.waiting)} runs")
    by_cell: dict[str, int] = {}
    for cell, _ in done.waiting:
        asked = replace(cell, candidate=None).name  # trials count with the cell that they are for
        by_cell[asked] = by_cell.get(asked, 0) + 1
    lines += [f"         {count:4d}  {name}" for name, count in sorted(by_cell.items())]
    if done.waiting:
        speed = estimate.measured_speed(settings, done.finished)
        left = estimate.wall_seconds(settings, done.waiting, speed, cores)
        basis = "measured here" if speed.measured else "a first guess"
        lines.append(f"time     about {duration(left)} left on {cores} cores (speed {basis})")
    return lines


def _wanted_files(settings: Settings, selected: Plan) -> set[Path]:
    names = plan.bundles(settings, selected)
    return {file(name) for name in names for file in (plan.table_file, plan.predictions_file, plan.search_file)}


def orphans(settings: Settings) -> list[str]:
    """Files of cells and stored runs that the settings do not ask for. They enter no table."""
    selected = plan.expand(settings)
    wanted = _wanted_files(settings, selected)
    files = sorted(path for path in (plan.RESULTS / "cells").rglob("*.parquet") if path not in wanted)
    done = study.Done(settings, selected)
    runs = [digest for digest in Store(plan.STORE).digests() if digest not in done.digests]
    lines = [f"{len(files)} cell files and {len(runs)} stored runs that the settings do not ask for"]
    lines += [str(path) for path in files]
    lines += [str(Store(plan.STORE).folder(digest)) for digest in runs]
    return lines

"""Train the run that makes a model state, or take it from the store, and put its weights where the state belongs."""

from __future__ import annotations

import os
from pathlib import Path

from transfer_atlas import atomic, plan
from transfer_atlas.plan import State
from transfer_atlas.steps.train import train
from transfer_atlas.training import store
from transfer_atlas.training.cell import Job
from transfer_atlas.training.results import steps_before


def publish(source: Path, destination: Path) -> None:
    """Give a file of the store a second name; a link costs no space, a copy works everywhere."""
    with atomic.replacing(destination) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            temporary.write_bytes(source.read_bytes())


def run(job: Job, state: State) -> None:
    """Train the one run of the cell and put its weights and result where those of `state` belong."""
    (result,) = train(job).results
    digest = str(result["digest"])
    publish(job.store.folder(digest) / store.WEIGHTS, plan.weights_file(state))
    before = plan.state_of(job.cell, job.cell.runs[0])
    atomic.write_json(plan.training_file(state), {**result, "steps_before": steps_before(before)})

"""Train on an intermediate task, leaving out the target's evaluation texts; the weights go to results/intermediate."""

from __future__ import annotations

import os
from pathlib import Path

from transfer_atlas import atomic
from transfer_atlas.steps.train import WEIGHTS, train
from transfer_atlas.training import store
from transfer_atlas.training.cell import Job

RUN = "run.json"


def publish(source: Path, destination: Path) -> None:
    """Give a file of the store a second name; a link costs no space, a copy works everywhere."""
    with atomic.replacing(destination) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            temporary.write_bytes(source.read_bytes())


def run(job: Job, folder: Path) -> None:
    """Train the one run of the cell and put its weights and result into `folder`."""
    (result,) = train(job)
    digest = str(result["digest"])
    publish(job.store.folder(digest) / store.WEIGHTS, folder / WEIGHTS)
    atomic.write_json(folder / RUN, result)

"""The work of one job: take its finished runs from the store, train the others, alike ones together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import save_file

from transfer_atlas import atomic, plan
from transfer_atlas.identity import digest_of
from transfer_atlas.plan import Bundle, Cell, Run, Sources
from transfer_atlas.settings import Settings
from transfer_atlas.training import device
from transfer_atlas.training.checkpoint import Keeper, StopRequest
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.progress import Progress
from transfer_atlas.training.results import write_predictions
from transfer_atlas.training.store import CHECKPOINT, PREDICTIONS, WEIGHTS, Store

Train = Callable[[Sequence[tuple[Cell, Run]], Keeper], list[Trained]]
"""Trains runs together."""
Together = Callable[[Sequence[tuple[Cell, Run]]], list[list[int]]]
"""Which runs are trained together, by their number."""


@dataclass(frozen=True)
class Job:
    """How the runs of a bundle are done."""

    settings: Settings
    bundle: Bundle
    sources: Sources
    store: Store
    beacon: Path | None = None

    @property
    def cell(self) -> Cell:
        """The only cell of the bundle."""
        (cell,) = self.bundle.cells
        return cell


@dataclass(frozen=True)
class Wanted:
    """A run of the job, and what identifies it."""

    cell: Cell
    run: Run
    identity: dict[str, Any]
    digest: str

    @property
    def title(self) -> str:
        """How logs name the run."""
        return plan.title_of(self.cell, self.run)


def one_by_one(runs: Sequence[tuple[Cell, Run]]) -> list[list[int]]:
    """Each run on its own."""
    return [[number] for number in range(len(runs))]


def _save(job: Job, wanted: Wanted, trained: Trained, peak_mb: float) -> dict[str, Any]:
    folder = job.store.folder(wanted.digest)
    write_predictions(folder / PREDICTIONS, trained.splits)
    if trained.weights is not None:
        with atomic.replacing(folder / WEIGHTS) as temporary:
            save_file(trained.weights, temporary, metadata={"run": wanted.digest})
    values = [
        {
            "split": split,
            "metric": metric,
            "value": value,
            "n_examples": len(scored.ids),
            "truncated": trained.truncated[split],
        }
        for split, scored in trained.splits.items()
        for metric, value in scored.scores.items()
    ]
    facts = {
        "n_train": trained.n_train,
        "steps": trained.fitted.steps,
        "tokens": trained.fitted.tokens,
        "truncated_train": trained.truncated["train"],
        "left_out": trained.left_out,
        "diverged": not np.isfinite(trained.splits["validation"].outputs).all(),
        "seconds": round(trained.fitted.seconds, 3),
        "peak_memory_mb": round(peak_mb, 1),
        "device": device.device_name(trained.device),
        "precision": trained.precision,
    }
    return job.store.finish(wanted.digest, {"identity": wanted.identity, "values": values, "facts": facts})


def _finished(job: Job, wanted: Wanted) -> dict[str, Any] | None:
    """The run's result where it is in the store and trusted; with `store: ignore` in the settings, never."""
    if job.settings.store == "ignore":
        return None
    return job.store.finished(wanted.digest, need_weights=plan.keeps_weights(wanted.cell, wanted.run))


def _train_together(
    job: Job, group: list[Wanted], train: Train, progress: Progress, stop: StopRequest
) -> dict[str, dict[str, Any]]:
    """Results of these runs by digest, trained now but for those that another job has finished meanwhile.

    The checkpoint lies with the first run and is keyed by all in order, so another set of runs never goes on from it.
    """
    results: dict[str, dict[str, Any]] = {}
    with ExitStack() as locks:
        # In a fixed order, so that two jobs never wait for each other.
        for digest in sorted(wanted.digest for wanted in group):
            locks.enter_context(job.store.locked(digest))
        for wanted in group:
            if (result := _finished(job, wanted)) is not None:
                results[wanted.digest] = result
                progress.finish_run(wanted.title, "taken from the store")
        missing = [wanted for wanted in group if wanted.digest not in results]
        if not missing:
            return results
        checkpoint = job.store.folder(missing[0].digest) / CHECKPOINT
        if job.settings.store == "ignore":
            checkpoint.unlink(missing_ok=True)
        where = device.choose_device()
        device.reset_peak_memory(where)
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        keeper = Keeper(
            checkpoint,
            digest_of([wanted.digest for wanted in missing]),
            missing[0].title + more,
            progress,
            job.settings.execution.checkpoint_seconds,
            stop,
            runs=len(missing),
        )
        outcomes = train([(wanted.cell, wanted.run) for wanted in missing], keeper)
        peak_mb = device.peak_memory_mb(where)
        for wanted, trained in zip(missing, outcomes, strict=True):
            result = results[wanted.digest] = _save(job, wanted, trained, peak_mb)
            values = {v["metric"]: v["value"] for v in result["values"] if v["split"] == "validation"}
            scores = ", ".join(f"{metric} {value:.4f}" for metric, value in values.items())
            progress.finish_run(
                wanted.title, f"{trained.fitted.steps} steps in {trained.fitted.seconds:.1f} s, validation {scores}"
            )
    return results


def run_all(
    job: Job,
    train: Train,
    together: Together = one_by_one,
    *,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
    later: int = 0,
) -> list[dict[str, Any]]:
    """Results of all runs of the bundle, in order: from the store where they are finished and trusted, else trained.

    With `store: ignore` in the settings they are trained in any case, from their first step.

    Args:
        progress, stop: Of the whole job, where it does runs in several parts.
        later: How many runs the parts behind this one have.
    """
    runs = []
    for cell, run in job.bundle.runs:
        identity = plan.run_identity(job.settings, cell, run, job.sources)
        runs.append(Wanted(cell, run, identity, digest_of(identity)))
    # Two cells may ask for the same run.
    distinct = list({wanted.digest: wanted for wanted in runs}.values())
    progress = progress or Progress(job.settings.execution.progress_seconds, 0, job.beacon)
    stop = stop or StopRequest()
    progress.runs = progress.done + len(distinct) + later
    results: dict[str, dict[str, Any]] = {}
    for wanted in distinct:
        if (result := _finished(job, wanted)) is not None:
            results[wanted.digest] = result
            progress.finish_run(wanted.title, "taken from the store")
    waiting = [wanted for wanted in distinct if wanted.digest not in results]
    for numbers in together([(wanted.cell, wanted.run) for wanted in waiting]):
        results |= _train_together(job, [waiting[number] for number in numbers], train, progress, stop)
    if not later:
        progress.close()
    return [results[wanted.digest] for wanted in runs]

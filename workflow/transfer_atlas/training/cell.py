"""The work of one job: take a cell's finished runs from the store, train the others, write one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from transfer_atlas import atomic, plan
from transfer_atlas.identity import digest_of
from transfer_atlas.plan import Cell, Run, Sources
from transfer_atlas.settings import Settings
from transfer_atlas.training import device, metrics
from transfer_atlas.training.checkpoint import Keeper, StopRequest
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.progress import Progress
from transfer_atlas.training.results import write_predictions
from transfer_atlas.training.store import CHECKPOINT, PREDICTIONS, WEIGHTS, Store

TrainOne = Callable[[Run, Keeper], Trained]


@dataclass(frozen=True)
class Job:
    """How the runs of a cell are done."""

    settings: Settings
    cell: Cell
    sources: Sources
    store: Store
    beacon: Path | None = None


def _save(job: Job, digest: str, identity: dict[str, Any], trained: Trained, peak_mb: float) -> dict[str, Any]:
    folder = job.store.folder(digest)
    write_predictions(folder / PREDICTIONS, trained.splits)
    if trained.weights is not None:
        with atomic.replacing(folder / WEIGHTS) as temporary:
            save_file(trained.weights, temporary, metadata={"run": digest})
    task_type = identity["settings"]["task"]["type"]
    values = [
        {"split": split, "metric": metric, "value": value, "n_examples": len(scored.ids)}
        for split, scored in trained.splits.items()
        for metric, value in metrics.scores(task_type, scored.outputs, scored.labels).items()
    ]
    facts = {
        "n_train": trained.n_train,
        "steps": trained.fitted.steps,
        "tokens": trained.fitted.tokens,
        "truncated": trained.truncated,
        "left_out": trained.left_out,
        "seconds": round(trained.fitted.seconds, 3),
        "peak_memory_mb": round(peak_mb, 1),
        "device": device.device_name(trained.device),
        "precision": trained.precision,
    }
    return job.store.finish(digest, {"identity": identity, "values": values, "facts": facts})


def finish_run(job: Job, run: Run, train_one: TrainOne, keeper_of: Callable[[str, Path], Keeper]) -> dict[str, Any]:
    """The run's result: from the store where it is finished and trusted, else trained now.

    With `store: ignore` in the settings it is trained in any case, from its first step.
    """
    identity = plan.run_identity(job.settings, job.cell, run, job.sources)
    digest = digest_of(identity)
    need_weights = job.cell.target is not None
    with job.store.locked(digest) as folder:
        if job.settings.store == "use" and (result := job.store.finished(digest, need_weights)) is not None:
            return result
        if job.settings.store == "ignore":
            (folder / CHECKPOINT).unlink(missing_ok=True)
        where = device.choose_device()
        device.reset_peak_memory(where)
        keeper = keeper_of(digest, folder / CHECKPOINT)
        trained = train_one(run, keeper)
        result = _save(job, digest, identity, trained, device.peak_memory_mb(where))
        values = {v["metric"]: v["value"] for v in result["values"] if v["split"] == "validation"}
        keeper.progress.finish_run(
            f"{trained.fitted.steps} steps in {trained.fitted.seconds:.1f} s, validation "
            + ", ".join(f"{metric} {value:.4f}" for metric, value in values.items())
        )
    return result


def run_all(job: Job, train_one: TrainOne) -> list[dict[str, Any]]:
    """Results of all runs of the cell, in order."""
    progress = Progress(job.settings.execution.progress_seconds, len(job.cell.runs), job.beacon)
    stop = StopRequest()

    def keeper_factory(run: Run) -> Callable[[str, Path], Keeper]:
        every = job.settings.execution.checkpoint_seconds
        return lambda digest, path: Keeper(path, digest, plan.title_of(job.cell, run), progress, every, stop)

    results = []
    for run in job.cell.runs:
        before = progress.done
        results.append(finish_run(job, run, train_one, keeper_factory(run)))
        if progress.done == before:
            progress.start_run(plan.title_of(job.cell, run))
            progress.finish_run("taken from the store")
    progress.close()
    return results

"""Checkpoints: a killed run costs seconds, and the resumed one ends in the same bits."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from transfer_atlas import atomic
from transfer_atlas.training.loop import Snapshot
from transfer_atlas.training.progress import Progress

STOPPED = 143
"""Exit status of a job that was asked to stop (128 + SIGTERM)."""


def save_snapshot(path: Path, snapshot: Snapshot, digest: str) -> None:
    """Write a snapshot as one safetensors file, atomically."""
    place = {
        "digest": digest,
        "step": snapshot.step,
        "tokens": snapshot.tokens,
        "seconds": snapshot.seconds,
        "best_score": snapshot.best_score,
        "chosen_step": snapshot.chosen_step,
        "arithmetic": snapshot.arithmetic,
    }
    with atomic.replacing(path) as temporary:
        save_file(snapshot.tensors, temporary, metadata={"snapshot": json.dumps(place)})


def load_snapshot(path: Path, digest: str) -> Snapshot | None:
    """Read a snapshot; None when there is none, when it is another run's or when it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            place = json.loads(file.metadata()["snapshot"])
            if place.pop("digest") != digest:
                return None
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    return Snapshot(tensors=tensors, **place)


class StopRequest:
    """Remembers that SIGTERM or SIGUSR1 (a time limit, a preemption) asked this process to stop."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


class Keeper:
    """The loop's observer in a job: progress lines, a checkpoint every so often, one more when asked to stop.

    Args:
        digest: What the checkpoint must be of: one run, or all those that are trained together, in order.
        runs: How many these are.
    """

    def __init__(
        self,
        path: Path,
        digest: str,
        title: str,
        progress: Progress,
        every: float,
        stop: StopRequest | None = None,
        runs: int = 1,
    ):
        self.path = path
        self.digest = digest
        self.title = title
        self.progress = progress
        self.every = every
        self.stop = stop
        self.runs = runs
        self._last = time.monotonic()

    def start(self, total_steps: int) -> Snapshot | None:
        """The checkpoint of an earlier, interrupted try, if there is one."""
        snapshot = load_snapshot(self.path, self.digest)
        self.progress.start_run(self.title, snapshot.step if snapshot else 0, self.runs)
        return snapshot

    def step(self, step: int, total: int, loss: Tensor, tokens: int, snapshot: Callable[[], Snapshot]) -> None:
        """Print and save when it is time to."""
        self.progress.step(step, total, loss, tokens)
        stopping = self.stop is not None and self.stop.asked
        # Behind the last step the scoring is still to come, so a stop there saves too.
        if stopping or (step < total and time.monotonic() - self._last >= self.every):
            save_snapshot(self.path, snapshot(), self.digest)
            self._last = time.monotonic()
        if stopping:
            print(f"stopped as asked at step {step} of {total}; the same command goes on from here", flush=True)
            sys.exit(STOPPED)

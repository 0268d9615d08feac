"""Progress lines for a job's log: one every few seconds, no control characters."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import SupportsFloat

from transfer_atlas import atomic


def duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class EncodingProgress:
    """Says how the encoding of `total` tokens gets on, a line every so many seconds."""

    def __init__(self, total: int, every: float):
        self.total = total
        self.every = every
        self._done = 0
        self._started = self._last = time.monotonic()

    def encoded(self, tokens: int) -> None:
        """So many more tokens are done; prints at most one line in `every` seconds."""
        self._done += tokens
        if (now := time.monotonic()) - self._last < self.every:
            return
        self._last, speed = now, self._done / (now - self._started)
        left = duration((self.total - self._done) / speed)
        print(f"encoded {self._done:,} of {self.total:,} tokens  {speed:,.0f} tokens/s  {left} left", flush=True)


class Progress:
    """Says how a job of several runs gets on.

    Args:
        every: Seconds between two lines.
        runs: How many runs the job trains.
        beacon: A file that holds the latest state for `transfer_atlas status`, or None.
    """

    def __init__(self, every: float, runs: int, beacon: Path | None = None):
        self.every = every
        self.runs = runs
        self.beacon = beacon
        self.done = 0
        self._title = ""
        self._together = 1
        self._started = self._last = time.monotonic()
        self._run_started = self._started
        self._first_step = 0

    def start_run(self, title: str, first_step: int = 0, together: int = 1) -> None:
        """A run begins, or goes on at `first_step`; or so many runs that are trained together."""
        self._title = title
        self._together = together
        self._run_started = time.monotonic()
        self._first_step = first_step
        again = f", goes on at step {first_step}" if first_step else ""
        print(f"{self._place}  {title}{again}", flush=True)

    @property
    def _place(self) -> str:
        """Which runs are being trained, of how many."""
        first, last = self.done + 1, self.done + self._together
        return f"run {first}/{self.runs}" if first == last else f"runs {first}-{last}/{self.runs}"

    def step(self, step: int, total: int, loss: SupportsFloat, tokens: int) -> None:
        """One update is done; prints at most one line in `every` seconds."""
        now = time.monotonic()
        if now - self._last < self.every:
            return
        self._last = now
        spent = now - self._run_started
        fresh = step - self._first_step
        left = spent / max(fresh, 1) * (total - step)
        # Runs of a cell are alike in size, so the rest is estimated from the average of those done.
        trained = self.done + self._together * fresh / max(total, 1)
        per_run = (now - self._started) / trained if self.done else (spent + left) / self._together
        job_left = left + per_run * max(0, self.runs - self.done - self._together)
        print(
            f"{self._place}  {self._title}  step {step}/{total}  loss {float(loss):.4f}  "
            f"{tokens / max(spent, 1e-9):,.0f} tokens/s  run {duration(left)} left, job {duration(job_left)} left",
            flush=True,
        )
        if self.beacon is not None:
            state = {"run": self._title, "step": step, "steps": total, "job_seconds_left": round(job_left, 1)}
            atomic.write_text(self.beacon, json.dumps({**state, "time": time.time()}))

    def close(self) -> None:
        """The job is over: nothing of it is running any more."""
        if self.beacon is not None:
            self.beacon.unlink(missing_ok=True)

    def finish_run(self, title: str, text: str) -> None:
        """A run is complete."""
        self.done += 1
        print(f"run {self.done}/{self.runs}  {title}  {text}", flush=True)

"""Child processes: on a core of their own, with their whole cost in core-seconds and their whole peak in memory.

Everything that is compared here runs in a process of its own, so that imports, loading and set-up count, and nothing
that one system leaves behind (caches, threads, memory) helps or hinders another.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
POLL_SECONDS = 0.02
TAIL_LINES = 30


@dataclass(frozen=True)
class Usage:
    """What a process and its children cost, from start to exit.

    Attributes:
        core_seconds: User and system time together.
        wall_seconds: By the clock on the wall.
        peak_gb: Largest resident memory of the process itself, 10^9 bytes; NaN where the system does not tell.
        output, errors: What it wrote to standard output and to standard error.
    """

    core_seconds: float
    wall_seconds: float
    peak_gb: float
    output: str
    errors: str


def cores() -> list[int]:
    """The cores that this process may use; their numbers mean something only where processes can be pinned."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def environment(threads: int) -> dict[str, str]:
    """This tree's code, so many threads, no network, and the directory of this interpreter first on PATH."""
    paths = [str(ROOT), str(ROOT / "workflow"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }


class Child:
    """A running process.

    Its peak is read while it runs: a system's own account at exit begins anew whenever the process resets it, as a
    training does before each run.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        pinned_to: Sequence[int] | None = None,
        threads: int = 1,
        folder: Path = ROOT,
        settings: Mapping[str, str] | None = None,
    ):
        self.command = list(command)
        self._out, self._errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._start, self._peak_kb = time.perf_counter(), 0
        self._process = subprocess.Popen(
            self.command,
            cwd=folder,
            env={**environment(threads), **(settings or {})},
            stdout=self._out,
            stderr=self._errors,
            stdin=subprocess.DEVNULL,
            preexec_fn=_pin(pinned_to),
        )

    def poll(self) -> Usage | None:
        """Its usage when it has ended, else None.

        Raises:
            RuntimeError: It failed; the message ends with the last lines that it wrote.
        """
        self._look_at_memory()
        process, status, used = os.wait4(self._process.pid, os.WNOHANG)
        if process == 0:
            return None
        wall = time.perf_counter() - self._start
        self._process.returncode = os.waitstatus_to_exitcode(status)
        output, errors = self._written(self._out), self._written(self._errors)
        if self._process.returncode != 0:
            tail = "\n".join((output + errors).splitlines()[-TAIL_LINES:])
            raise RuntimeError(f"{' '.join(self.command)} ended with status {self._process.returncode}\n{tail}")
        peak = self._peak_kb * 1024 / 1e9 if self._peak_kb else float("nan")
        return Usage(used.ru_utime + used.ru_stime, wall, peak, output, errors)

    def wait(self) -> Usage:
        """Its usage, once it has ended."""
        while (usage := self.poll()) is None:
            time.sleep(POLL_SECONDS)
        return usage

    def stop(self) -> None:
        """End it, unless it has ended."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def _look_at_memory(self) -> None:
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self._peak_kb = max(self._peak_kb, int(line.split()[1]))

    @staticmethod
    def _written(stream: IO[str]) -> str:
        stream.seek(0)
        return stream.read()


def _pin(pinned_to: Sequence[int] | None) -> Callable[[], None] | None:
    if pinned_to is None or not hasattr(os, "sched_setaffinity"):
        return None
    return lambda: os.sched_setaffinity(0, pinned_to)


def run(
    command: Sequence[str],
    *,
    pinned_to: Sequence[int] | None = None,
    threads: int = 1,
    folder: Path = ROOT,
    settings: Mapping[str, str] | None = None,
) -> Usage:
    """Run a command to its end.

    Args:
        pinned_to: The cores it may use, where processes can be pinned; by default this process's own.
        threads: Threads of its matrix library.
        folder: Its working folder.
        settings: Further environment variables.

    Raises:
        RuntimeError: It failed.
    """
    child = Child(command, pinned_to=pinned_to, threads=threads, folder=folder, settings=settings)
    try:
        return child.wait()
    finally:
        child.stop()


def run_side_by_side(commands: Sequence[Sequence[str]], at_a_time: int) -> list[Usage]:
    """Run commands, so many at a time, each pinned to a core of its own; usages in the order in which they end."""
    free, waiting = cores()[:at_a_time], list(commands)
    running: dict[int, Child] = {}
    finished: list[Usage] = []
    try:
        while waiting or running:
            while waiting and free:
                core = free.pop()
                running[core] = Child(waiting.pop(0), pinned_to=[core])
            for core, child in list(running.items()):
                if (usage := child.poll()) is not None:
                    del running[core]
                    free.append(core)
                    finished.append(usage)
            time.sleep(POLL_SECONDS)
    finally:
        for child in running.values():
            child.stop()
    return finished

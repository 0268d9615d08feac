"""Plain progress lines of a download, from the bytes that lie in its folder.

Watching the folder works alike for every client (pip, the hub's, our own) and keeps speaking while a server stalls.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRESS_SECONDS = 5.0
MEGABYTE = 1_000_000  # bytes


def bytes_under(folder: Path) -> int:
    """Bytes in the files under `folder`; files that vanish meanwhile count nothing."""
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total


def line(what: str, done: int, rate: float, total: int | None) -> str:
    """One progress line: `done` and `total` in bytes, `rate` in bytes a second."""
    amount = f"{done / MEGABYTE:.1f} MB" if total is None else f"{done / MEGABYTE:.1f} of {total / MEGABYTE:.1f} MB"
    text = f"{what}: {amount}, {rate / MEGABYTE:.1f} MB/s"
    if total is not None and rate > 0:
        text += f", {max(0, total - done) / rate:.0f} s left"
    return text


class Watch:
    """What the watching thread shares with the download: `total` (bytes) may become known later."""

    def __init__(self) -> None:
        self.total: int | None = None


@contextmanager
def watching(what: str, folder: Path, seconds: float = PROGRESS_SECONDS) -> Iterator[Watch]:
    """Print a line about the bytes under `folder` every `seconds` until the block ends; the rate is the last line's."""
    watch = Watch()
    finished = threading.Event()

    def speak() -> None:
        before, then = bytes_under(folder), time.monotonic()
        while not finished.wait(seconds):
            now = time.monotonic()
            done = bytes_under(folder)
            print(line(what, done, max(0, done - before) / (now - then), watch.total), flush=True)
            before, then = done, now

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        finished.set()
        thread.join()

"""What a prepared task says about itself in stats.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfer_atlas import atomic

STATS = "stats.json"


def describe(folder: Path) -> dict[str, Any]:
    """The statistics of a prepared task.

    Raises:
        FileNotFoundError: The task has not been prepared.
    """
    stats: dict[str, Any] = atomic.read_json(folder / STATS)
    return stats


def class_names(folder: Path) -> list[str] | None:
    """The classes of a prepared task, in order; None for regression."""
    names: list[str] | None = describe(folder)["labels"]
    return names


def data_digest(folder: Path) -> str:
    """Digest of the prepared rows."""
    return str(describe(folder)["digest"])

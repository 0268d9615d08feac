"""Small data sets, written by the tests that read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas.settings import Task
from transfer_atlas.tasks.canonical import Canonical, read_task

Read = Callable[..., Canonical]
Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file under `tmp_path`."""

    def to_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        return path

    return to_file


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a task called `toy` whose files lie in `tmp_path`; keywords are its settings."""

    def from_files(train: str | list[str] = "train.csv", **settings: Any) -> Canonical:
        files = {"train": train, **settings.pop("files", {})}
        values = {"type": "sequence_classification", "files": files, **settings}
        return read_task("toy", Task.model_validate(values), tmp_path)

    return from_files

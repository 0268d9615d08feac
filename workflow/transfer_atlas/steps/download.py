"""Step `download`: brings one artifact into the results. The only step that touches the network."""

from __future__ import annotations

from pathlib import Path

from transfer_atlas import settings
from transfer_atlas.artifacts.fetch import fetch


def run(name: str, artifact: settings.Artifact, folder: Path, lock: Path) -> None:
    """Fetch artifact `name` into `folder/files/` and write `folder/manifest.json` last.

    Checksums come from the settings or from `lock` (artifacts.lock), which records those of a first download.

    Raises:
        UserError: for everything that the user can mend, beginning with `artifacts.<name>`.
    """
    fetch(name, artifact, folder, lock)

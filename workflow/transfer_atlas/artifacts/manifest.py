"""The manifest of an artifact: which files it has, and their checksums. It is written last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfer_atlas.atomic import read_json
from transfer_atlas.identity import digest_of, file_digest
from transfer_atlas.settings import Artifact


def checksums(folder: Path) -> dict[str, str]:
    """SHA-256 (hex) of every file under `folder`, by its path relative to it, with `/`."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}


def describe(name: str, artifact: Artifact, sha256: str | dict[str, str] | None, files: Path) -> dict[str, Any]:
    """The manifest of the files under `files`; `sha256` is the checksum of what was downloaded, by name for several.

    It holds no time and no machine, so equal content gives equal bytes.
    """
    by_path = checksums(files)
    return {
        "name": name,
        "source": artifact.model_dump(mode="json"),
        "sha256": sha256,
        "files": {path: {"sha256": sum_, "bytes": (files / path).stat().st_size} for path, sum_ in by_path.items()},
        "digest": digest_of(by_path),
    }


def read_intact(path: Path, name: str, artifact: Artifact, files: Path) -> dict[str, Any] | None:
    """The manifest at `path`, where it is about this artifact and `files` holds exactly what it says; else None."""
    try:
        manifest = read_json(path)
        unchanged = manifest == describe(name, artifact, manifest["sha256"], files)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest if unchanged else None

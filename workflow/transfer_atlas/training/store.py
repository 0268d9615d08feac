"""The run store: finished runs by digest, and checkpoints of unfinished ones.

    results/store/<first two digits>/<digest>/result.json         written last: its presence means finished
                                             predictions.parquet
                                             weights.safetensors  only where another step needs them
                                             checkpoint.safetensors

The store is never declared to Snakemake, so a retry cannot lose it. A run is trusted only when its digest and the
checksums of its files match.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from transfer_atlas import atomic
from transfer_atlas.identity import digest_of, file_digest

RESULT = "result.json"
PREDICTIONS = "predictions.parquet"
WEIGHTS = "weights.safetensors"
CHECKPOINT = "checkpoint.safetensors"
# Key of a result that holds the digest of all else in it.
CHECKSUM = "checksum"


def _checksum(result: dict[str, Any]) -> str:
    return digest_of({key: value for key, value in result.items() if key != CHECKSUM})


@dataclass(frozen=True)
class Store:
    """The runs below `root`."""

    root: Path

    def folder(self, digest: str) -> Path:
        """Where this run's files lie."""
        return self.root / digest[:2] / digest

    @contextmanager
    def locked(self, digest: str) -> Iterator[Path]:
        """Hold the run: whoever comes second waits, then finds it finished. The system frees a killed holder's lock."""
        folder = self.folder(digest)
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            # What a killed writer left, a whole checkpoint perhaps: nobody else writes while the lock is held.
            for left in folder.glob(".*.partial"):
                left.unlink(missing_ok=True)
            yield folder

    def finished(self, digest: str, need_weights: bool = False) -> dict[str, Any] | None:
        """The result of a finished run, or None when there is none that can be trusted."""
        folder = self.folder(digest)
        try:
            result: dict[str, Any] = atomic.read_json(folder / RESULT)
            files: dict[str, str] = result["files"]
            sound = (
                result[CHECKSUM] == _checksum(result)
                and digest_of(result["identity"]) == digest
                and PREDICTIONS in files
                and all(file_digest(folder / name) == expected for name, expected in files.items())
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return result if sound and (WEIGHTS in result["files"] or not need_weights) else None

    def peek(self, digest: str) -> dict[str, Any] | None:
        """The result of a finished run without checking its files: for counting, not for use."""
        try:
            result: dict[str, Any] = atomic.read_json(self.folder(digest) / RESULT)
        except (OSError, ValueError):
            return None
        return result

    def finish(self, digest: str, result: dict[str, Any]) -> dict[str, Any]:
        """Declare a run finished: its side files are in place, `result` says all else. Its checkpoint goes."""
        folder = self.folder(digest)
        files = {name: file_digest(folder / name) for name in (PREDICTIONS, WEIGHTS) if (folder / name).is_file()}
        whole = {**result, "digest": digest, "files": files}
        whole[CHECKSUM] = _checksum(whole)
        atomic.write_json(folder / RESULT, whole)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return whole

    def digests(self) -> list[str]:
        """All runs that have a folder, finished or not."""
        return sorted(path.name for path in self.root.glob("??/*") if path.is_dir())

    def remove(self, digest: str) -> None:
        """Forget a run."""
        shutil.rmtree(self.folder(digest), ignore_errors=True)

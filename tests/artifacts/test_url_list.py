"""One artifact of several files behind several addresses."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from transfer_atlas.artifacts.fetch import fetch
from transfer_atlas.atomic import read_json
from transfer_atlas.errors import UserError
from transfer_atlas.settings import UrlArtifact

from .hub_server import Fault, HubServer

OPTIONS, WEIGHTS = b'{"lstm": {}}', bytes(range(256)) * 500


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def artifact(server: HubServer) -> UrlArtifact:
    server.files |= {"elmo/options.json": OPTIONS, "elmo/weights.hdf5": WEIGHTS}
    return UrlArtifact(
        source="url", url=[f"{server.url}/files/elmo/options.json", f"{server.url}/files/elmo/weights.hdf5"]
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "files").iterdir()}


def test_files_lie_beside_each_other(artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    fetch("elmo", artifact, folder, lock)
    assert contents(folder) == {"options.json": OPTIONS, "weights.hdf5": WEIGHTS}
    sums = {"options.json": sha256(OPTIONS), "weights.hdf5": sha256(WEIGHTS)}
    assert isinstance(artifact.url, list)
    assert read_json(lock) == {"elmo": {"source": f"url {' '.join(artifact.url)}", "files": sums}}
    assert read_json(folder / "manifest.json")["sha256"] == sums


def test_what_is_there_is_not_downloaded(server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    fetch("elmo", artifact, folder, lock)
    (folder / "manifest.json").unlink()
    fetch("elmo", artifact, folder, lock)
    assert server.count("GET", "/files/") == 2
    (folder / "files" / "weights.hdf5").write_bytes(b"damaged")
    fetch("elmo", artifact, folder, lock)
    assert contents(folder)["weights.hdf5"] == WEIGHTS


def test_a_file_that_changed_is_refused(server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    fetch("elmo", artifact, folder, lock)
    before = lock.read_bytes()
    server.files["elmo/options.json"] = b"{}"
    (folder / "files" / "options.json").unlink()
    with pytest.raises(UserError, match=r"artifacts.elmo: 'options.json' of url .* as .*artifacts.lock recorded"):
        fetch("elmo", artifact, folder, lock)
    assert lock.read_bytes() == before


def test_one_checksum_is_configured_and_the_other_recorded(
    server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path
) -> None:
    pinned = UrlArtifact(source="url", url=artifact.url, sha256={"weights.hdf5": sha256(WEIGHTS)})
    fetch("elmo", pinned, folder, lock)
    assert read_json(lock)["elmo"]["files"] == {"options.json": sha256(OPTIONS)}
    wrong = UrlArtifact(source="url", url=artifact.url, sha256={"weights.hdf5": sha256(b"")})
    with pytest.raises(UserError, match=r"'weights.hdf5' of url .* as the configuration says"):
        fetch("elmo", wrong, folder, lock)


def test_all_or_nothing(server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    server.faults = [Fault("weights.hdf5", status=404)]
    with pytest.raises(UserError, match=r"weights.hdf5: the server answers 404"):
        fetch("elmo", artifact, folder, lock)
    assert not (folder / "files").exists()
    assert not lock.exists()


def test_archives_are_unpacked_beside_plain_files(server: HubServer, folder: Path, lock: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train.txt", "a")
        archive.writestr("readme.txt", "b")
    server.files |= {"train.zip": buffer.getvalue(), "test.txt": b"c"}
    urls = [f"{server.url}/files/train.zip", f"{server.url}/files/test.txt"]
    fetch("sick", UrlArtifact(source="url", url=urls, members=["t*.txt"]), folder, lock)
    assert contents(folder) == {"train.txt": b"a", "test.txt": b"c"}
    server.files["train.txt"] = b"d"
    with pytest.raises(UserError, match=r"train.txt is also in an archive of this artifact"):
        fetch("sick", UrlArtifact(source="url", url=[urls[0], f"{server.url}/files/train.txt"]), folder, lock)

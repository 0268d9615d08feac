"""One artifact as a whole or not at all: kills, rivals, damage."""

from __future__ import annotations

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from transfer_atlas.artifacts import fetch as fetch_module
from transfer_atlas.artifacts.fetch import fetch
from transfer_atlas.atomic import read_json
from transfer_atlas.errors import UserError
from transfer_atlas.settings import UrlArtifact
from transfer_atlas.steps import download

from .hub_server import Fault, HubServer

PROGRAM = """
import sys
from pathlib import Path
from transfer_atlas.settings import UrlArtifact
from transfer_atlas.steps import download
name, url, folder, lock = sys.argv[1:]
download.run(name, UrlArtifact(source="url", url=url), Path(folder), Path(lock))
"""


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def artifact(server: HubServer) -> UrlArtifact:
    server.files["data.zip"] = zipped(train=b"fine" * 50_000, test=b"poor")
    return UrlArtifact(source="url", url=f"{server.url}/files/data.zip")


def start(artifact: UrlArtifact, folder: Path, lock: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder.name, artifact.url, str(folder), str(lock)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.parent.iterdir() if path.name.endswith(".partial"))


def test_the_step(artifact: UrlArtifact, folder: Path, lock: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download.run("thing", artifact, folder, lock)
    assert (folder / "files/test").read_bytes() == b"poor"
    assert "thing: 2 files, 0.2 MB" in capsys.readouterr().out
    assert folder.joinpath("files").stat().st_mode & 0o777 == 0o777 & ~umask()
    assert folder.joinpath("files/test").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def test_what_is_there_is_not_downloaded(server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    fetch("thing", artifact, folder, lock)
    first = everything(folder)
    stamp = (folder / "manifest.json").stat().st_mtime_ns
    fetch("thing", artifact, folder, lock)
    assert (folder / "manifest.json").stat().st_mtime_ns == stamp, "a new time would rerun later steps"
    # As Snakemake does before it runs a rule again.
    (folder / "manifest.json").unlink()
    fetch("thing", artifact, folder, lock)
    assert server.count("GET", "data.zip") == 1
    assert everything(folder) == first


@pytest.mark.parametrize("damage", ["changed", "missing", "added", "manifest", "lock"])
def test_damage_is_noticed_and_mended(
    server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path, damage: str
) -> None:
    fetch("thing", artifact, folder, lock)
    first = everything(folder)
    target = folder / "files/test"
    if damage == "changed":
        target.write_bytes(b"pooR")
    elif damage == "missing":
        target.unlink()
    elif damage == "added":
        (folder / "files/extra").write_text("x")
    elif damage == "manifest":
        for name in ("manifest.json", ".manifest.json"):
            (folder / name).write_text('{"name"')
    else:
        lock.write_text(lock.read_text().replace(read_json(lock)["thing"]["sha256"], "0" * 64))
        with pytest.raises(UserError, match="should have sha256 0000"):
            fetch("thing", artifact, folder, lock)
        lock.unlink()
    fetch("thing", artifact, folder, lock)
    assert everything(folder) == first
    assert server.count("GET", "data.zip") == 2


def test_other_members_of_the_same_file(artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    fetch("thing", artifact, folder, lock)
    fetch("thing", artifact.model_copy(update={"members": ["test"]}), folder, lock)
    assert everything(folder / "files").keys() == {"test"}
    with pytest.raises(UserError, match="no member matches 'tset'"):
        fetch("thing", artifact.model_copy(update={"members": ["tset"]}), folder, lock)
    assert everything(folder / "files").keys() == {"test"}, "a failed try leaves the last good one"
    assert hidden(folder) == []


def test_a_plain_file(server: HubServer, folder: Path, lock: Path) -> None:
    server.files["train.csv"] = b"text,label\n"
    fetch("thing", UrlArtifact(source="url", url=f"{server.url}/files/train.csv"), folder, lock)
    assert everything(folder / "files") == {"train.csv": b"text,label\n"}
    with pytest.raises(UserError, match="is no archive"):
        fetch("thing", UrlArtifact(source="url", url=f"{server.url}/files/train.csv", members=["x"]), folder, lock)


def test_a_full_disk(artifact: UrlArtifact, folder: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "files/train")

    monkeypatch.setattr(fetch_module, "unpack", full)
    with pytest.raises(UserError, match=r"artifacts\.thing: files/train: No space left on device; free space"):
        fetch("thing", artifact, folder, lock)
    assert hidden(folder) == []
    assert not (folder / "manifest.json").exists()


def test_kill_while_downloading(server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    server.faults = [Fault("data.zip", stall=True, times=1)]
    process = start(artifact, folder, lock)
    assert server.stalling.wait(10)
    deadline = time.monotonic() + 10
    while not any(path.stat().st_size for path in folder.parent.glob(".thing.*.partial/url/data.zip")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(hidden(folder)) == 1
    assert everything(folder) == {}
    assert not lock.exists()
    # Leftovers of an artifact whose name begins alike belong to somebody else, who may be at work.
    other = folder.parent / ".thing.two.abcd1234.partial"
    other.mkdir()
    fetch("thing", artifact, folder, lock)
    assert hidden(folder) == [other.name]
    undisturbed = folder.parent.parent / "undisturbed" / "thing"
    fetch("thing", artifact, undisturbed, lock)
    assert everything(folder) == everything(undisturbed)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("moment", ["describe", "rename", "write_json", "enforce", "unpack"])
@pytest.mark.parametrize("before", ["nothing", "another version"])
def test_death_at_every_moment(
    server: HubServer,
    artifact: UrlArtifact,
    folder: Path,
    lock: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    before: str,
) -> None:
    """The process ends without any clean-up, at the n-th call of a function, for all n."""
    wanted = folder.parent.parent / "undisturbed" / "thing"
    fetch("thing", artifact, wanted, lock)
    server.files["old.zip"] = zipped(train=b"old", gone=b"old")
    old = UrlArtifact(source="url", url=f"{server.url}/files/old.zip")
    for count in range(1, 10):
        if before == "another version":
            fetch("thing", old, folder, lock)
        child = os.fork()
        if child == 0:
            try:
                die_at(moment, count)
                fetch("thing", artifact, folder, lock)
                os._exit(0)
            finally:
                os._exit(1)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9)
        died = code == 9
        if died and (folder / "manifest.json").exists():  # then it is true
            manifest = read_json(folder / "manifest.json")
            assert manifest["files"].keys() == everything(folder / "files").keys()
        fetch("thing", artifact, folder, lock)
        assert everything(folder) == everything(wanted)
        assert hidden(folder) == []
        shutil.rmtree(folder)
        if not died:
            assert count > 1, "the moment never came"
            return
    raise AssertionError("the moments never ended")


def die_at(moment: str, count: int) -> None:
    owner = Path if moment == "rename" else fetch_module
    function = getattr(owner, moment)
    calls = 0

    def deadly(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == count:
            os._exit(9)
        return function(*args)

    setattr(owner, moment, deadly)


def test_two_at_once(server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path) -> None:
    server.faults = [Fault("data.zip", stall=True, times=1)]
    first = start(artifact, folder, lock)
    assert server.stalling.wait(10)
    second = start(artifact, folder, lock)
    assert second.stdout is not None
    assert "another process is fetching it; waiting" in second.stdout.readline()
    time.sleep(0.3)  # enough for a second that does not wait to be found out
    assert len(hidden(folder)) == 1
    server.going_on.set()
    outputs = [process.communicate(timeout=10)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert "thing: 2 files" in outputs[0]
    assert "nothing downloaded" in outputs[1]
    assert server.count("GET", "data.zip") == 1
    assert hidden(folder) == []


def test_the_second_waits_for_the_first_and_takes_over_when_it_is_killed(
    server: HubServer, artifact: UrlArtifact, folder: Path, lock: Path
) -> None:
    server.faults = [Fault("data.zip", stall=True, times=1)]
    first = start(artifact, folder, lock)
    assert server.stalling.wait(10)
    second = start(artifact, folder, lock)
    assert second.stdout is not None
    assert "another process is fetching it; waiting" in second.stdout.readline()
    first.kill()
    first.communicate()
    second.communicate(timeout=10)
    assert second.returncode == 0
    assert (folder / "manifest.json").exists()
    assert hidden(folder) == []

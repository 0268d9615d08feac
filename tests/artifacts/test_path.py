from __future__ import annotations

import os
from pathlib import Path

import pytest

from transfer_atlas.artifacts.fetch import fetch
from transfer_atlas.atomic import read_json
from transfer_atlas.errors import UserError
from transfer_atlas.identity import file_digest
from transfer_atlas.settings import PathArtifact


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.csv").write_text("text,label\nfine,1\n")
    (folder / "deep/test.csv").write_text("text,label\n")
    return folder


def local(path: str, **settings: object) -> PathArtifact:
    return PathArtifact.model_validate({"source": "path", "path": path, **settings})


def test_a_file(data: Path, folder: Path, lock: Path) -> None:
    fetch("thing", local("data/train.csv"), folder, lock)
    assert (folder / "files/train.csv").read_text() == "text,label\nfine,1\n"
    sha256 = file_digest(data / "train.csv")
    assert read_json(folder / "manifest.json")["sha256"] == sha256
    assert read_json(lock) == {"thing": {"source": "path data/train.csv", "sha256": sha256}}


def test_a_folder(data: Path, folder: Path, lock: Path) -> None:
    (data / "link.csv").symlink_to("train.csv")
    fetch("thing", local(str(data)), folder, lock)
    manifest = read_json(folder / "manifest.json")
    assert manifest["files"].keys() == {"train.csv", "link.csv", "deep/test.csv"}
    assert manifest["sha256"] == manifest["digest"]
    assert not (folder / "files/link.csv").is_symlink()
    (data / "train.csv").write_text("changed")
    with pytest.raises(UserError, match="recorded"):
        fetch("thing", local(str(data)), folder, lock)
    assert (folder / "files/train.csv").read_text() == "text,label\nfine,1\n", "the copy stays as it was"
    fetch("thing", local("data/train.csv", sha256=file_digest(data / "train.csv")), folder, lock)


def test_nothing_there(data: Path, folder: Path, lock: Path) -> None:
    with pytest.raises(UserError, match=r"artifacts.thing: there is no data/none.csv \(looked in .*\); correct `path`"):
        fetch("thing", local("data/none.csv"), folder, lock)


def test_links_that_lead_outside(data: Path, folder: Path, lock: Path) -> None:
    (data.parent / "secret").write_text("secret")
    (data / "deep/out").symlink_to("../../secret")
    with pytest.raises(UserError, match="deep/out is a link that leads out of data"):
        fetch("thing", local("data"), folder, lock)
    assert not (folder / "files").exists()


def test_links_to_folders_or_nothing(data: Path, folder: Path, lock: Path) -> None:
    (data / "loop").symlink_to(".")
    with pytest.raises(UserError, match="loop is a link to a folder"):
        fetch("thing", local("data"), folder, lock)
    (data / "loop").unlink()
    (data / "gone").symlink_to("nothing")
    with pytest.raises(UserError, match="gone is a link to nothing"):
        fetch("thing", local("data"), folder, lock)


def test_what_is_no_file(data: Path, folder: Path, lock: Path) -> None:
    os.mkfifo(data / "pipe")
    with pytest.raises(UserError, match="pipe is not a file"):
        fetch("thing", local("data"), folder, lock)
    with pytest.raises(UserError, match="neither a file nor a folder"):
        fetch("thing", local("data/pipe"), folder, lock)


def test_a_folder_that_holds_the_results(data: Path, folder: Path, lock: Path) -> None:
    with pytest.raises(UserError, match="holds the results"):
        fetch("thing", local("."), folder, lock)


def test_an_empty_folder(data: Path, folder: Path, lock: Path) -> None:
    (data / "empty").mkdir()
    with pytest.raises(UserError, match="holds no file"):
        fetch("thing", local("data/empty"), folder, lock)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read(data: Path, folder: Path, lock: Path) -> None:
    (data / "deep").chmod(0)
    with pytest.raises(UserError, match="Permission denied"):
        fetch("thing", local("data"), folder, lock)
    (data / "deep").chmod(0o700)

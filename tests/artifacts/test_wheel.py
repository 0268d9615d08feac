from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from transfer_atlas.artifacts.fetch import fetch
from transfer_atlas.atomic import read_json
from transfer_atlas.errors import UserError
from transfer_atlas.identity import digest_of, file_digest
from transfer_atlas.settings import WheelArtifact


def make_wheel(folder: Path, version: str = "1.0", rows: str = "fine,1\n") -> Path:
    path = folder / f"reviews-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: reviews\nVersion: {version}\nRequires-Dist: does-not-exist-anywhere\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("reviews/__init__.py", "raise SystemExit('imported')")
        archive.writestr("reviews/data/train.csv", "text,label\n" + rows)
        archive.writestr("reviews/data/test.csv", "text,label\n")
        archive.writestr(f"reviews-{version}.dist-info/METADATA", metadata)
        archive.writestr(
            f"reviews-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"reviews-{version}.dist-info/RECORD", "")
    return path


def reviews(version: str = "1.0", **settings: object) -> WheelArtifact:
    return WheelArtifact.model_validate({"source": "wheel", "wheel": f"reviews=={version}", **settings})


def test_members_of_a_wheel(shelf: Path, folder: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = file_digest(make_wheel(shelf))
    fetch("thing", reviews(members=["reviews/data/*.csv"]), folder, lock)
    assert (folder / "files/reviews/data/train.csv").read_text() == "text,label\nfine,1\n"
    assert not (folder / "files/reviews/__init__.py").exists()
    manifest = read_json(folder / "manifest.json")
    by_path = {path: facts["sha256"] for path, facts in manifest["files"].items()}
    assert manifest["name"] == "thing"
    assert manifest["sha256"] == sha256
    assert manifest["digest"] == digest_of(by_path)
    assert by_path.keys() == {"reviews/data/train.csv", "reviews/data/test.csv"}
    assert read_json(lock) == {"thing": {"source": "wheel reviews==1.0", "sha256": sha256}}
    assert sorted(path.name for path in folder.parent.iterdir()) == [".thing.lock", "thing"]

    monkeypatch.setattr(subprocess, "run", None)  # whatever is here already needs no pip
    fetch("thing", reviews(members=["reviews/data/*.csv"]), folder, lock)


def test_a_wheel_that_does_not_exist(shelf: Path, folder: Path, lock: Path) -> None:
    make_wheel(shelf)
    with pytest.raises(
        UserError, match=r"requirement reviews==2.0 \(from versions: 1.0\); check name, version"
    ) as caught:
        fetch("thing", reviews("2.0"), folder, lock)
    assert str(caught.value).startswith("artifacts.thing: pip cannot fetch the wheel reviews==2.0: ")
    assert "\n" not in str(caught.value)


def test_source_distributions_are_never_fetched(shelf: Path, folder: Path, lock: Path) -> None:
    (shelf / "reviews-1.0.tar.gz").write_bytes(b"its setup.py would run")
    with pytest.raises(UserError, match="from versions: none"):
        fetch("thing", reviews(), folder, lock)


def test_what_pip_leaves_unfinished_lies_where_it_is_swept(
    shelf: Path, folder: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wheel(shelf)
    places: list[str] = []
    real = subprocess.run

    def spy(*args: Any, **settings: Any) -> Any:
        places.append(settings["env"]["TMPDIR"])
        return real(*args, **settings)

    monkeypatch.setattr(subprocess, "run", spy)
    fetch("thing", reviews(), folder, lock)
    assert [Path(place).parents[1] for place in places] == [folder.parent]


def test_a_damaged_wheel(shelf: Path, folder: Path, lock: Path) -> None:
    wheel = make_wheel(shelf)
    sha256 = file_digest(wheel)
    wheel.write_bytes(wheel.read_bytes()[:-30])
    with pytest.raises(
        UserError, match=rf"should have sha256 {sha256}.* but {file_digest(wheel)} came|pip cannot fetch"
    ):
        fetch("thing", reviews(sha256=sha256), folder, lock)
    assert not (folder / "files").exists()


def test_a_new_version_replaces_the_old(shelf: Path, folder: Path, lock: Path) -> None:
    make_wheel(shelf)
    fetch("thing", reviews(), folder, lock)
    newer = make_wheel(shelf, "2.0", "good,1\n")
    fetch("thing", reviews("2.0", members=["*.csv"]), folder, lock)
    assert (folder / "files/reviews/data/train.csv").read_text() == "text,label\ngood,1\n"
    assert not (folder / "files/reviews/__init__.py").exists(), "files of the old version are gone"
    assert read_json(lock) == {"thing": {"source": "wheel reviews==2.0", "sha256": file_digest(newer)}}


def test_the_same_version_with_other_content(shelf: Path, folder: Path, lock: Path, tmp_path: Path) -> None:
    first = file_digest(make_wheel(shelf))
    fetch("thing", reviews(), folder, lock)
    recorded = lock.read_bytes()
    second = file_digest(make_wheel(shelf, rows="tampered,1\n"))
    elsewhere = tmp_path / "elsewhere" / "thing"
    with pytest.raises(UserError) as caught:
        fetch("thing", reviews(), elsewhere, lock)
    message = str(caught.value)
    assert f"should have sha256 {first}" in message
    assert f"{second} came" in message
    assert f"remove 'thing' from {lock}" in message
    assert lock.read_bytes() == recorded
    assert not (elsewhere / "files").exists()
    fetch("thing", reviews(sha256=second), elsewhere, lock)
    assert lock.read_bytes() == recorded, "the configuration wins, and the lock stays as it is"
    lock.unlink()
    fetch("thing", reviews(), tmp_path / "third" / "thing", lock)
    assert read_json(lock)["thing"]["sha256"] == second

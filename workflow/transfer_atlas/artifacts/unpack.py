"""Unpacks zip and tar archives that nobody vouches for.

Members are written one by one under names that were checked, as plain files with default permissions. Nothing of
`ZipFile.extractall` or `TarFile.extractall` is used: both create what the archive says, links included.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Literal

from transfer_atlas.artifacts.names import matching, safe_path
from transfer_atlas.errors import UserError

ZIP_ENDINGS = (".zip", ".whl")
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
CHUNK_BYTES = 1 << 20
DAMAGE = (
    EOFError,
    NotImplementedError,
    RuntimeError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most, whether its members are selected or not."""

    members: int = 200_000
    """Files, folders and links."""
    unpacked_bytes: int = 20 << 30
    """Sum of the members' sizes: 20 GiB."""
    ratio: int = 200
    """Unpacked bytes per byte of the archive. Text reaches 20, deflate ends at 1032."""
    ratio_free_bytes: int = 100 << 20
    """Up to this many unpacked bytes (100 MiB) the ratio does not matter: a small file of zeros is no attack."""


LIMITS = Limits()


@dataclass(frozen=True)
class Member:
    """One entry of an archive; `size` in bytes as declared."""

    name: str
    size: int
    form: Literal["file", "folder", "other"]
    open: Callable[[], IO[bytes]]


class _Budget:
    """What is left of the limits while one archive is read."""

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        self.limits = limits
        self.members = 0
        self.unpacked_bytes = 0
        self.most_bytes = min(limits.unpacked_bytes, max(limits.ratio_free_bytes, limits.ratio * archive_bytes))

    def add_member(self) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise UserError(f"it has more than {self.limits.members:,} members; do not use this archive")

    def add_bytes(self, count: int) -> None:
        self.unpacked_bytes += count
        if self.unpacked_bytes > self.most_bytes:
            raise UserError(
                f"it unpacks to more than {self.most_bytes:,} bytes (limits: {self.limits.unpacked_bytes:,} bytes, and "
                f"{self.limits.ratio} times its own size); do not use this archive"
            )


class _Counted:
    """A readable stream whose bytes count against a budget, headers and skipped members included."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self.stream = stream
        self.budget = budget

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.budget.add_bytes(len(data))
        return data


def archive_kind(path: Path) -> Literal["zip", "tar"] | None:
    """Whether a file is to be unpacked, and as what: by the ending of its name.

    A name without any ending (some servers use bare numbers) leaves the decision to the first bytes. Other endings are
    believed: an `.npz`, `.pt` or `.docx` is a zip archive inside, and is wanted as it is.
    """
    name = path.name.lower()
    if name.endswith(ZIP_ENDINGS):
        return "zip"
    if name.endswith(TAR_ENDINGS):
        return "tar"
    if path.suffix:
        return None
    if zipfile.is_zipfile(path):
        return "zip"
    return "tar" if tarfile.is_tarfile(path) else None


def unpack(archive: Path, folder: Path, patterns: list[str], limits: Limits = LIMITS) -> None:
    """Write the members of `archive` whose names match one of the glob `patterns` under the existing `folder`.

    Raises:
        UserError: for a hostile, damaged, encrypted or too large archive, and for a pattern that matches no member.
    """
    unpack_together([archive], folder, patterns, limits)


def unpack_together(archives: list[Path], folder: Path, patterns: list[str], limits: Limits = LIMITS) -> None:
    """Unpack `archives` beside each other; each is held to `limits`.

    Raises:
        UserError: as `unpack`, but for a pattern only where no archive has a member that it matches.
    """
    unused = set(patterns)
    for archive in archives:
        unused -= unpack_matching(archive, folder, patterns, limits)
    if unused:
        names = ", ".join(archive.name for archive in archives)
        raise UserError(f"{names}: no member matches {', '.join(map(repr, sorted(unused)))}; correct `members`")


def unpack_matching(archive: Path, folder: Path, patterns: list[str], limits: Limits = LIMITS) -> set[str]:
    """Like `unpack`, but a pattern may match no member; the patterns that matched one are returned."""
    budget = _Budget(limits, archive.stat().st_size)
    read = _zip_members if archive_kind(archive) == "zip" else _tar_members
    try:
        with closing(read(archive, budget)) as members:
            return _write_selected(members, folder, patterns)
    except UserError as error:
        raise UserError(f"{archive.name}: {error}") from error
    except DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        # gzip and bz2 report damaged data without a number; the list of a zip's members may point before its start.
        if error.errno in (None, errno.EINVAL):
            raise _damaged(archive, error) from error
        raise


def _damaged(archive: Path, error: Exception) -> UserError:
    return UserError(f"{archive.name}: cannot be unpacked: {' '.join(str(error).split())}; download it again")


def _write_selected(members: Iterator[Member], folder: Path, patterns: list[str]) -> set[str]:
    seen: set[str] = set()
    used: set[str] = set()
    for member in members:
        name = safe_path(member.name)
        if member.form == "folder":
            continue
        if name in seen:
            raise UserError(f"it holds {name!r} twice; do not use this archive")
        seen.add(name)
        matched = matching(name, patterns)
        if not matched:
            continue
        used |= matched
        if member.form == "other":
            raise UserError(f"{name!r} is a link or device, not a file; leave it out by the patterns in `members`")
        _write(member, folder / name)
    return used


def _write(member: Member, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # "x": a name that differs from an earlier one only in case must not overwrite it where case is ignored.
        with member.open() as source, open(target, "xb") as sink:
            shutil.copyfileobj(source, sink, CHUNK_BYTES)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"{member.name!r} collides with another member; do not use this archive") from error
    if target.stat().st_size != member.size:
        raise UserError(f"{member.name!r} should have {member.size:,} bytes and has not; download it again")


def _zip_members(archive: Path, budget: _Budget) -> Generator[Member, None, None]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            budget.add_member()
            budget.add_bytes(entry.file_size)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            form: Literal["file", "folder", "other"] = "file"
            if entry.is_dir():
                form = "folder"
            elif kind not in (0, stat.S_IFREG):
                form = "other"
            # `filename` ends at a NUL byte, `orig_filename` is what the archive says.
            yield Member(entry.orig_filename, entry.file_size, form, partial(opened.open, entry))


def _open_in_tar(opened: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    stream = opened.extractfile(entry)
    assert stream is not None  # only links and devices have none
    return stream


def _decompressed(archive: Path) -> IO[bytes]:
    with open(archive, "rb") as stream:
        start = stream.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(archive)  # type: ignore[return-value]
    if start.startswith(b"BZh"):
        return bz2.open(archive)
    if start.startswith(b"\xfd7zXZ\x00"):
        return lzma.open(archive)
    return open(archive, "rb")


def _tar_members(archive: Path, budget: _Budget) -> Generator[Member, None, None]:
    with _decompressed(archive) as stream:
        # Read as a stream, so that every decompressed byte passes the budget, long headers too.
        counted = _Counted(stream, budget)
        with tarfile.open(fileobj=counted, mode="r|", bufsize=CHUNK_BYTES) as opened:  # type: ignore[call-overload]
            for entry in opened:
                budget.add_member()
                if entry.issparse():  # its holes are not in the stream
                    budget.add_bytes(entry.size)
                form: Literal["file", "folder", "other"] = "other"
                if entry.isdir():
                    form = "folder"
                elif entry.isreg():
                    form = "file"
                yield Member(entry.name, entry.size, form, partial(_open_in_tar, opened, entry))
        # The end of a compressed stream carries its checksum.
        while counted.read(CHUNK_BYTES):
            pass

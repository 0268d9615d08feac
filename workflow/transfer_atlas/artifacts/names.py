"""Names of files inside an artifact: which are safe to write, and which a list of patterns selects."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath, PureWindowsPath

from transfer_atlas.errors import UserError


def safe_path(name: str) -> str:
    """Return `name` as a normal relative path with `/`; the root itself is `.`.

    A name comes from an archive or a server, so it may be hostile. It is judged by the rules of POSIX and of Windows,
    so that a folder that is safe where it was written stays safe where it is copied to.

    Raises:
        UserError: for a name that is empty, absolute, climbs (`..`), has a drive, a backslash, a control character, or
            bytes that are not UTF-8.
    """
    path = PurePosixPath(name)
    windows = PureWindowsPath(name)
    climbs = ".." in path.parts
    anchored = path.is_absolute() or bool(windows.drive or windows.root)
    odd = "\\" in name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name)
    # tarfile decodes bytes that are not UTF-8 to lone surrogates, which no manifest could hold.
    undecodable = any("\ud800" <= letter <= "\udfff" for letter in name)
    if not name or climbs or anchored or odd or undecodable:
        raise UserError(f"the file name {name!a} is not a plain relative path; do not use this source")
    return str(path)


def matching(name: str, patterns: Iterable[str]) -> set[str]:
    """The glob patterns that `name` matches. `*` also matches `/`; upper and lower case differ."""
    return {pattern for pattern in patterns if fnmatchcase(name, pattern)}


def is_literal(pattern: str) -> bool:
    """Whether `pattern` names one file rather than describing several."""
    return not any(letter in pattern for letter in "*?[")

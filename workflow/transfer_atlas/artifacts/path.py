"""A file or folder of this machine, copied: what later steps read cannot change under them."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from transfer_atlas.artifacts.names import safe_path
from transfer_atlas.errors import UserError


def copy(source: Path, files: Path) -> None:
    """Copy a file, or all files of a folder under their relative paths, into the existing folder `files`.

    Links to files inside the folder are followed. `source` itself may be a link.

    Raises:
        UserError: for a path that does not exist or holds `files`; for links that dangle, lead outside or to folders;
            for anything that is neither file nor folder.
    """
    if not source.exists():
        raise UserError(f"there is no {source} (looked in {Path.cwd()}); correct `path`")
    if source.is_file():
        shutil.copyfile(source, files / safe_path(source.name))
        return
    if not source.is_dir():
        raise UserError(f"{source} is neither a file nor a folder; correct `path`")
    if files.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{source} holds the results; name the folder of the data itself in `path`")
    for root, folders, names in os.walk(source, onerror=_unreadable):
        folders.sort()
        for name in sorted(folders):
            if Path(root, name).is_symlink():
                raise UserError(f"{Path(root, name)} is a link to a folder; replace it by what it points to")
        for name in sorted(names):
            path = Path(root, name)
            _require_plain(path, source)
            target = files / safe_path(path.relative_to(source).as_posix())
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    if not any(files.iterdir()):
        raise UserError(f"{source} holds no file; correct `path`")


def _require_plain(path: Path, folder: Path) -> None:
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{path} is a link that leads out of {folder}; replace it by what it points to")
    if not path.exists():
        raise UserError(f"{path} is a link to nothing; remove it")
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(f"{path} is not a file; remove it")


def _unreadable(error: OSError) -> None:
    raise error

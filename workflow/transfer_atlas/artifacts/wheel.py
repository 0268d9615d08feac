"""Wheels, fetched by the user's own pip with the user's own settings. Nothing is installed or imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from transfer_atlas.artifacts.progress import watching
from transfer_atlas.errors import UserError


def download(requirement: str, scratch: Path) -> Path:
    """Fetch the wheel of `name==version` into `scratch` and return its path.

    Wheels only: pip would run the set-up code of a source distribution even to download it. Indexes, mirrors, proxies,
    certificates and the download cache are pip's own settings (`pip config list`).

    Raises:
        UserError: where pip is missing or finds no such wheel.
    """
    folder = scratch / "wheels" / requirement
    temporary = scratch / "pip"
    folder.mkdir(parents=True)
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "-d", str(folder), requirement]
    with watching(f"wheel {requirement}", scratch):
        # pip's unfinished download lies in TMPDIR: in the scratch folder it is seen, and swept after a kill.
        done = subprocess.run(
            command,
            env={**os.environ, "TMPDIR": str(temporary)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    if done.returncode != 0:
        raise UserError(_complaint(requirement, done.stderr))
    found = sorted(folder.glob("*.whl"))
    if len(found) != 1:
        raise UserError(f"pip fetched {len(found)} wheels for {requirement} instead of one; check `pip config list`")
    return found[0]


def _complaint(requirement: str, stderr: str) -> str:
    if "No module named pip" in stderr:
        return f"cannot fetch the wheel {requirement}: this Python has no pip; run `{sys.executable} -m ensurepip`"
    lines = [" ".join(text.split()) for text in stderr.splitlines() if text.strip()]
    errors = [text.removeprefix("ERROR: ") for text in lines if text.startswith("ERROR: ")]
    reason = (errors or lines or ["it gave no reason"])[0]
    # When an index cannot be reached, pip warns and then says that there is no such version.
    unreachable = "after connection broken by" in stderr
    advice = "check the network (pip could not connect)" if unreachable else "check name, version and `pip config list`"
    return f"pip cannot fetch the wheel {requirement}: {reason}; {advice}"

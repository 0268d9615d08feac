"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from transfer_atlas import atomic


def test_json_comes_back_and_has_the_same_bytes_whatever_the_order_of_keys(tmp_path: Path) -> None:
    atomic.write_json(tmp_path / "a.json", {"b": [1, 2.5], "a": "é"})
    atomic.write_json(tmp_path / "b.json", {"a": "é", "b": [1, 2.5]})
    assert atomic.read_json(tmp_path / "a.json") == {"a": "é", "b": [1, 2.5]}
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_json_has_no_number_that_json_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        atomic.write_json(tmp_path / "a.json", {"score": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made(tmp_path: Path) -> None:
    atomic.write_text(tmp_path / "a" / "b" / "c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "text"


def test_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic.write_text(target, "old")
    with pytest.raises(RuntimeError), atomic.replacing(target) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert target.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        atomic.write_text(tmp_path / "file", "")
        assert os.umask(umask) == umask  # and the process's own is as it was
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~umask


def test_killed_in_mid_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    atomic.write_text(target, "old")
    program = (
        "import sys, time; from transfer_atlas import atomic\n"
        "with atomic.replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); print('writing', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    assert target.read_text(encoding="utf-8") == "old"
    # What it left has a name of its own, which no reader looks for.
    (left,) = set(tmp_path.iterdir()) - {target}
    assert left.name.startswith(".file.")
    assert left.suffix == ".partial"
    atomic.write_text(target, "new")
    assert target.read_text(encoding="utf-8") == "new"


def test_readers_never_see_half_a_file_while_many_write(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    atomic.write_json(target, [0] * 5000)
    seen: list[int] = []

    def write(value: int) -> None:
        for _ in range(20):
            atomic.write_json(target, [value] * 5000)

    writers = [threading.Thread(target=write, args=(value,)) for value in range(1, 5)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        values = json.loads(target.read_text(encoding="utf-8"))
        assert len(values) == 5000
        seen.append(len(set(values)))
    for writer in writers:
        writer.join()
    assert set(seen) == {1}
    assert list(tmp_path.iterdir()) == [target]

"""Slots of GPUs, shared by real processes; the GPUs are names that nobody looks up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from transfer_atlas.errors import UserError
from transfer_atlas.training import placement

PACKAGE_ROOT = Path(placement.__file__).parents[2]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

# Says which GPU it got, then keeps it until its standard input ends. Without torch it starts at once.
HOLDER = """
import sys
from pathlib import Path
from transfer_atlas.training import placement
placement.POLL_SECONDS = 0.02
lease = placement.wait_for_slot(sys.argv[2].split(","), int(sys.argv[3]), Path(sys.argv[1]), sys.argv[4])
print("leased", lease.device, flush=True)
sys.stdin.read()
"""

# Writes down from when to when it had which GPU. The times lie within those of the slot.
PASSER = """
import os, sys, time
from pathlib import Path
from transfer_atlas.training import placement
placement.POLL_SECONDS = 0.01
for turn in range(3):
    lease = placement.wait_for_slot(sys.argv[2].split(","), int(sys.argv[3]), Path(sys.argv[1]))
    start = time.monotonic()
    time.sleep(0.03)
    print(lease.device, start, time.monotonic(), flush=True)
    lease.lock.release()
"""

Hold = Callable[..., "subprocess.Popen[str]"]


def start(script: str, *arguments: object, **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "SLURM_"))}
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**environment, "PYTHONPATH": str(PACKAGE_ROOT), **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    """What the process says next; '' when it has ended."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Start a process that holds a slot until it is ended."""
    processes = []

    def holder(devices: str = "0,1", runs_per_gpu: int = 1, scope: str = "machine") -> subprocess.Popen[str]:
        processes.append(start(HOLDER, tmp_path, devices, runs_per_gpu, scope))
        return processes[-1]

    yield holder
    for process in processes:
        process.kill()
        process.communicate()


def test_runs_spread_over_gpus_before_they_share_one(tmp_path: Path) -> None:
    leases = [placement.take(["0", "1", "2"], 2, tmp_path) for _ in range(6)]
    assert [lease and lease.device for lease in leases] == ["0", "1", "2", "0", "1", "2"]
    assert placement.take(["0", "1", "2"], 2, tmp_path) is None


def test_the_least_loaded_gpu_is_next(tmp_path: Path) -> None:
    first, second, third = (placement.take(["0", "1"], 2, tmp_path) for _ in range(3))
    assert first is not None and second is not None and third is not None
    first.lock.release()
    third.lock.release()
    again = placement.take(["0", "1"], 2, tmp_path)
    assert again is not None and again.device == "0"
    second.lock.release()
    third = placement.take(["0", "1"], 2, tmp_path)
    assert third is not None and third.device == "1"


def test_a_gpu_counts_the_runs_of_those_who_allow_more(tmp_path: Path) -> None:
    others = [placement.take(["0"], 3, tmp_path) for _ in range(3)]
    assert None not in others
    assert placement.take(["0"], 2, tmp_path) is None
    assert placement.take(["0"], 4, tmp_path) is not None


@pytest.mark.parametrize("device", ["GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-GPU-8932f937/1/0", "MIG-44.2"])
def test_any_name_of_cuda_can_be_leased(device: str, tmp_path: Path) -> None:
    lease = placement.take([device], 1, tmp_path)
    assert lease is not None and lease.device == device
    assert placement.take([device], 1, tmp_path) is None
    assert [pids for pids in placement.holders(tmp_path).values()] == [[os.getpid()]]


def test_who_finds_no_slot_waits_and_says_for_whom(hold: Hold) -> None:
    first, second = hold(), hold()
    assert {line(first), line(second)} == {"leased 0", "leased 1"}
    third = hold()
    said = line(third)
    assert said.startswith("waiting for a GPU: execution.runs_per_gpu is 1")
    assert {int(pid) for pid in re.findall(r"GPU \d: (\d+)", said)} == {first.pid, second.pid}
    end(second)
    assert line(third).startswith("leased")
    end(third)
    end(first)


def test_a_killed_process_holds_nothing(hold: Hold, tmp_path: Path) -> None:
    first = hold("0")
    assert line(first) == "leased 0"
    second = hold("0")
    assert line(second).startswith("waiting")
    os.kill(first.pid, signal.SIGKILL)
    assert line(second) == "leased 0"
    assert placement.holders(tmp_path) == {"machine-gpu-0": [second.pid]}
    end(second)
    assert placement.holders(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["guard.lock"]


def test_never_more_runs_than_slots(tmp_path: Path) -> None:
    """Twelve processes compete for four slots of two GPUs, three times each."""
    processes = [start(PASSER, tmp_path, "0,1", 2) for _ in range(12)]
    spans = [said.split() for process in processes for said in process.communicate()[0].splitlines()]
    spans = [span for span in spans if span[0] != "waiting"]
    assert [process.returncode for process in processes] == [0] * 12
    assert len(spans) == 36
    events = [
        (float(time), step, device) for device, *times in spans for time, step in zip(times, (1, -1), strict=True)
    ]
    running: Counter[str] = Counter()
    for _, step, device in sorted(events):
        running[device] += step
        assert running[device] <= 2


@pytest.mark.parametrize(
    ("listed", "count", "expected"),
    [
        (None, 3, ["0", "1", "2"]),
        (None, 0, []),
        ("", 0, []),
        ("2,3", 2, ["2", "3"]),
        (" 3, 1 ", 2, ["3", "1"]),
        ("0,-1,1", 1, ["0"]),
        ("GPU-aa,GPU-bb", 2, ["GPU-aa", "GPU-bb"]),
        ("GPU-aa,GPU-unknown", 1, ["GPU-aa"]),
    ],
)
def test_visible_devices(listed: str | None, count: int, expected: list[str]) -> None:
    environment = {} if listed is None else {placement.VISIBLE: listed}
    assert placement.visible_devices(environment, lambda: count) == expected


def test_a_slurm_job_that_was_granted_no_gpu_uses_none() -> None:
    """Where the cluster does not hide them, all are there to be counted."""
    assert placement.visible_devices({"SLURM_JOB_ID": "7"}, lambda: 2) == []
    assert placement.visible_devices({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "5"}, lambda: 1) == ["0"]
    assert placement.visible_devices({"SLURM_JOB_ID": "7", placement.VISIBLE: "1"}, lambda: 1) == ["1"]


def test_mig_instances_are_taken_at_their_word() -> None:
    """Counting them would start CUDA with the first."""

    def count() -> int:
        raise AssertionError

    assert placement.visible_devices({placement.VISIBLE: "MIG-aa,MIG-bb"}, count) == ["MIG-aa", "MIG-bb"]


COUNTER = """
import os, torch
from transfer_atlas.training import placement
for listed in ("", "-1", "NoDevFiles"):
    os.environ["CUDA_VISIBLE_DEVICES"] = listed
    print(placement.visible_devices(os.environ, torch.cuda.device_count), torch.cuda.is_initialized(), flush=True)
"""


def test_no_device_is_visible_where_the_variable_names_none() -> None:
    """By torch's own count, with and without GPUs."""
    process = start(COUNTER)
    assert [line(process) for _ in range(3)] == ["[] False"] * 3
    end(process)


@pytest.mark.parametrize(
    ("environment", "scope"),
    [
        ({}, "machine"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "machine"),
        ({"SLURM_JOB_ID": "7"}, "machine"),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": ""}, "machine"),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0"}, "job-7"),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_GPUS": "3"}, "job-7"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "3"}, "job-7"),
        ({"PBS_JOBID": "7.host", "CUDA_VISIBLE_DEVICES": "GPU-aa"}, "job-7.host"),
    ],
)
def test_a_batch_job_that_was_granted_gpus_counts_for_itself(environment: dict[str, str], scope: str) -> None:
    assert placement.scope_of(environment) == scope


def test_batch_jobs_do_not_wait_for_each_other(hold: Hold) -> None:
    """Both were granted a GPU, each its own, that it knows as 0."""
    first, second = hold("0", 1, "job-7.host"), hold("0", 1, "job-8.host")
    assert line(first) == line(second) == "leased 0"
    same = hold("0", 1, "job-7.host")
    assert line(same).startswith("waiting")


LEASER = """
import os, sys
from pathlib import Path
from transfer_atlas.training import placement
listed = os.environ.get("CUDA_VISIBLE_DEVICES")
print(placement.lease(1, listed and listed.split(","), Path(sys.argv[1])), repr(os.environ["CUDA_VISIBLE_DEVICES"]))
print(placement.lease(1), flush=True)
sys.stdin.read()
"""


def test_cuda_sees_the_leased_gpu_only(tmp_path: Path) -> None:
    """By the name it had before, so that the second of two visible ones stays the second."""
    first = start(LEASER, tmp_path, CUDA_VISIBLE_DEVICES="5,7")
    assert [line(first) for _ in range(3)] == ["computes on GPU 5", "5 '5'", "5"]
    second = start(LEASER, tmp_path, CUDA_VISIBLE_DEVICES="5,7")
    assert [line(second) for _ in range(3)] == ["computes on GPU 7", "7 '7'", "7"]
    granted = start(LEASER, tmp_path, CUDA_VISIBLE_DEVICES="5", SLURM_JOB_ID="1")
    assert [line(granted) for _ in range(3)] == ["computes on GPU 5", "5 '5'", "5"]
    for process in (first, second, granted):
        end(process)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_nothing_is_leased(tmp_path: Path) -> None:
    process = start(LEASER, tmp_path)
    assert [line(process) for _ in range(2)] == ["None ''", "None"]
    end(process)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = placement.default_folder()
    assert folder.stat().st_uid == os.getuid()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert placement.default_folder() == folder
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(placement.tempfile, "gettempdir", lambda: str(tmp_path))
    ours = placement.default_folder()
    assert ours.parent == tmp_path and ours.stat().st_mode & 0o777 == 0o700
    ours.rmdir()
    ours.symlink_to(folder)
    with pytest.raises(UserError, match="belongs to somebody else"):
        placement.default_folder()
    ours.unlink()
    ours.write_text("")
    with pytest.raises(UserError, match="GPU slots need this folder"):
        placement.default_folder()


CUDA_LEASER = """
import sys, torch
from pathlib import Path
from transfer_atlas.training import placement
before = torch.cuda.device_count()
device = placement.lease(1, folder=Path(sys.argv[1]))
print(before > 0 and device is not None, torch.cuda.is_initialized(), torch.cuda.device_count())
print(torch.ones(2, device="cuda").sum().item(), flush=True)
"""


@needs_cuda
def test_a_leased_gpu_computes(tmp_path: Path) -> None:
    process = start(CUDA_LEASER, tmp_path)
    assert line(process).startswith("computes on GPU")
    assert [line(process) for _ in range(2)] == ["True False 1", "2.0"]
    end(process)


@needs_cuda
def test_a_lease_that_comes_too_late_is_refused(tmp_path: Path) -> None:
    code = "import torch; from transfer_atlas.training import placement; torch.ones(1).cuda(); placement.lease(1)"
    process = start(code)
    process.communicate()
    assert process.returncode == 1

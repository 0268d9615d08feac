"""Which GPU a process computes on: it leases a slot of one for the rest of its life.

Snakemake counts GPUs but on the local machine sets no CUDA_VISIBLE_DEVICES, so all jobs would take the first. Here a
slot is a locked file, and the system frees the lock of a process that was killed:

    /tmp/transfer-atlas-<user id>/guard.lock                            held while somebody looks or chooses
                                  <gpu>.<process id>.<random>.lock      held by the process that computes there
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from transfer_atlas.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
# What a batch system calls its job, and how it says that it granted GPUs to it.
BATCH_JOBS = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")
GRANTS = (VISIBLE, "SLURM_STEP_GPUS", "SLURM_JOB_GPUS")

POLL_SECONDS = 0.5
SAY_SECONDS = 60.0


@dataclass(frozen=True)
class Lease:
    """A slot on a GPU, kept until this object or the process ends.

    Attributes:
        device: The GPU as CUDA_VISIBLE_DEVICES names it: a number, a UUID or the name of a MIG instance.
    """

    device: str
    lock: BaseFileLock = field(repr=False)


def is_granted(environment: Mapping[str, str]) -> bool:
    """Whether somebody, a batch system or the user, has said which GPUs to use."""
    return any(environment.get(name) for name in GRANTS)


def visible_devices(environment: Mapping[str, str], count: Callable[[], int]) -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    Those that CUDA_VISIBLE_DEVICES lists, else all; but none in a SLURM job that was granted none, for on a cluster
    that does not hide them they are other people's.

    Args:
        count: How many they are. `torch.cuda.device_count` asks NVML, so CUDA does not start.
    """
    listed = environment.get(VISIBLE)
    if listed is None:
        if environment.get("SLURM_JOB_ID") and not is_granted(environment):
            return []
        return [str(number) for number in range(count())]
    names = [name.strip() for name in listed.split(",")]
    if names[0].startswith("MIG-"):
        # NVML does not count these. CUDA gives a process no more than one, so others are for other processes.
        return names
    # Names from the first unknown one on are ignored by CUDA, and not counted.
    return names[: count()]


def scope_of(environment: Mapping[str, str]) -> str:
    """Among whom slots are counted: all processes of the machine, or those of one batch job.

    A batch system that grants GPUs has chosen already and may number them from 0 in each job, so jobs must not
    wait for each other. Those that one job starts (Snakemake inside an allocation) still share its GPUs by slots.
    """
    jobs = [environment[name] for name in BATCH_JOBS if environment.get(name)]
    return f"job-{jobs[0]}" if jobs and is_granted(environment) else "machine"


def default_folder() -> Path:
    """The folder of this user's locks on this machine, made where it is missing.

    Neither TMPDIR nor XDG_RUNTIME_DIR decides while /tmp serves: processes that disagree on the folder would not see
    each other.

    Raises:
        UserError: The folder cannot be made, or belongs to somebody else.
    """
    shared = Path("/tmp")
    parent = shared if os.access(shared, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    folder = parent / f"transfer-atlas-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; GPU slots need this folder, remove what lies there") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserError(f"{folder}: belongs to somebody else; GPU slots need this folder, have it removed")
    return folder


def _gpu(scope: str, device: str) -> str:
    """The first part of a lock's name: free of dots, which part the others, and of slashes, which MIG names hold."""
    return re.sub(r"[^\w-]", "_", f"{scope}-gpu-{device}")


def _guard(folder: Path) -> AbstractContextManager[object]:
    return FileLock(folder / "guard.lock")


def _live_holders(folder: Path) -> dict[str, list[int]]:
    """Holders by GPU; needs the guard. A lock that can be had belongs to nobody alive, so its file goes."""
    live: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.*.*.lock")):
        gpu, process, *_ = path.name.split(".")
        try:
            with FileLock(path, blocking=False):
                path.unlink()
        except Timeout:
            live.setdefault(gpu, []).append(int(process))
    return live


def holders(folder: Path) -> dict[str, list[int]]:
    """Ids of the processes that hold a slot, by GPU (`machine-gpu-0`)."""
    with _guard(folder):
        return _live_holders(folder)


def take(devices: Sequence[str], runs_per_gpu: int, folder: Path, scope: str = "machine") -> Lease | None:
    """Take a slot of the least loaded of `devices`, the first of equals; None when all slots are taken."""
    # One process at a time looks and chooses: else two could take the last slot, or find the other's probe.
    with _guard(folder):
        live = _live_holders(folder)
        loads = {device: len(live.get(_gpu(scope, device), [])) for device in devices}
        device = min(devices, key=loads.__getitem__)
        if loads[device] >= runs_per_gpu:
            return None
        lock = FileLock(folder / f"{_gpu(scope, device)}.{os.getpid()}.{secrets.token_hex(4)}.lock")
        lock.acquire(blocking=False)
        return Lease(device, lock)


def wait_for_slot(devices: Sequence[str], runs_per_gpu: int, folder: Path, scope: str = "machine") -> Lease:
    """Take a slot as soon as there is one; while there is none, say every minute who holds them."""
    said = float("-inf")
    while (lease := take(devices, runs_per_gpu, folder, scope)) is None:
        if time.monotonic() - said >= SAY_SECONDS:
            said = time.monotonic()
            live = holders(folder)
            text = "; ".join(f"GPU {d}: {', '.join(map(str, live.get(_gpu(scope, d), [])))}" for d in devices)
            print(f"waiting for a GPU: execution.runs_per_gpu is {runs_per_gpu}, held by processes {text}", flush=True)
        time.sleep(POLL_SECONDS)
    return lease


# The slot of this process, so that nothing but its end gives it back.
_leased: Lease | None = None


def lease(runs_per_gpu: int, devices: Sequence[str] | None = None, folder: Path | None = None) -> str | None:
    """Lease a slot for the life of this process and make its GPU the only one that CUDA will see, or none.

    To be called before CUDA starts. A second call finds the slot of the first.

    Args:
        runs_per_gpu: How many processes may share a GPU.
        devices: The GPUs to choose from; by default those that are visible.
        folder: Where the locks lie; by default the user's folder on this machine.

    Returns:
        The GPU as CUDA_VISIBLE_DEVICES names it, or None where there is none: then nothing is leased.

    Raises:
        RuntimeError: CUDA has started, so the choice would come too late.
        UserError: There is no place for the locks.
    """
    # `status` lists holders and must not wait for torch.
    import torch

    global _leased
    if _leased is not None:
        return _leased.device
    if devices is None:
        devices = visible_devices(os.environ, torch.cuda.device_count) if torch.backends.cuda.is_built() else []
    if not devices:
        os.environ[VISIBLE] = ""  # CUDA may see some that are not for this process
        return None
    if torch.cuda.is_initialized():
        raise RuntimeError("a GPU must be leased before CUDA starts")
    _leased = wait_for_slot(devices, runs_per_gpu, folder or default_folder(), scope_of(os.environ))
    os.environ[VISIBLE] = _leased.device
    if torch.cuda.device_count() > 1:
        # Without NVML counting has started the driver, which reads the variable no more.
        torch.cuda.set_device(devices.index(_leased.device))
    print(f"computes on GPU {_leased.device}", flush=True)
    return _leased.device

"""Where a run computes, in which arithmetic, and how much memory it took."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
from pathlib import Path

import torch

# From malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


def prepare_process(threads: int = 1) -> None:
    """Fix everything about this process that could change a result: threads and deterministic kernels."""
    # Needed by deterministic cuBLAS, and read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # cuDNN's LSTMs and convolutions would round float32 to ten bits.
    torch.backends.cudnn.allow_tf32 = False
    _keep_freed_memory()
    # What has been imported stays: the collector need not look through it again and again.
    gc.freeze()
    gc.enable()
    # Would fill every new tensor first (a tenth of the time of a small run); nothing here reads unwritten memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def _keep_freed_memory() -> None:
    """Tell glibc not to give freed memory back: the next update asks for it again, and each new page costs a fault."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD):
            mallopt(parameter, 2**30)


def choose_device() -> torch.device:
    """The first CUDA device that is visible, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """A name for tables: `cpu`, or the GPU's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def has_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 run in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) and bool(torch.cpu._is_avx512_bf16_supported())


def resolve_precision(setting: str, device: torch.device) -> str:
    """`bfloat16` or `float32` for the setting `auto`, `bfloat16` or `float32`."""
    if setting == "auto":
        return "bfloat16" if has_bfloat16(device) else "float32"
    return setting


def reset_peak_memory(device: torch.device) -> None:
    """Start counting peak memory anew, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Not Linux, or not allowed: the peak is then that of the whole process.
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory since the last reset in MiB: of the device, or resident memory of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    for line in _STATUS.read_text().splitlines() if _STATUS.exists() else []:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest
import torch

from transfer_atlas.training import device

CPU = torch.device("cpu")


def test_named_precisions_are_taken_at_their_word() -> None:
    assert device.resolve_precision("float32", CPU) == "float32"
    assert device.resolve_precision("bfloat16", CPU) == "bfloat16"


def test_auto_is_bfloat16_where_the_processor_has_it() -> None:
    expected = "bfloat16" if device.has_bfloat16(CPU) else "float32"
    assert device.resolve_precision("auto", CPU) == expected


def test_a_prepared_process_is_deterministic_on_one_thread() -> None:
    device.prepare_process()
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1


def test_a_prepared_process_keeps_freed_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h."""
    asked: list[tuple[int, int]] = []
    libc = SimpleNamespace(mallopt=lambda parameter, value: asked.append((parameter, value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: libc)
    device.prepare_process()
    assert asked == [(-1, 2**30), (-3, 2**30)]


def no_library(name: None) -> None:
    raise OSError("cannot be opened")


@pytest.mark.parametrize("cdll", [lambda name: SimpleNamespace(), no_library], ids=["no mallopt", "no libc"])
def test_another_libc_is_survived(cdll: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", cdll)
    device.prepare_process()
    assert torch.get_num_threads() == 1


def test_peak_memory_counts_from_the_last_reset() -> None:
    device.reset_peak_memory(CPU)
    before = device.peak_memory_mb(CPU)
    block = torch.ones(32, 2**20)  # 128 MiB
    peak = device.peak_memory_mb(CPU)
    del block
    assert peak > before + 60
    assert device.device_name(CPU) == "cpu"

"""What holds on a CPU holds on a GPU: same bits when repeated or resumed, and the results of the CPU to rounding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from transfer_atlas.training import device

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DROPOUT: dict[str, Any] = {"dropout": 0.2, "head_dropout": 0.2}


@pytest.fixture
def processor() -> str:
    return "cuda"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("dropout", [{}, DROPOUT], ids=["no dropout", "dropout"])
def test_repeated_bit_by_bit(
    dropout: dict[str, Any],
    precision: str,
    kind: str,
    load: Callable,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    assert_same_bits: Callable,
) -> None:
    pretrained = load(kind)
    data, chosen = task_data(encoder=pretrained), recipe(**dropout, precision=precision)
    first = tune(data, chosen, encoder=pretrained)
    tune(data, chosen, encoder=pretrained, seed=2)
    assert first.device.type == "cuda"
    assert_same_bits(first, tune(data, chosen, encoder=pretrained))


@pytest.mark.parametrize("select", ["last", "best"])
def test_resumed_bit_by_bit(
    select: str,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    watch: Callable,
    killed: type[Exception],
    assert_same_bits: Callable,
    tmp_path: Path,
) -> None:
    train = partial(tune, task_data(), recipe(**DROPOUT, select=select))
    whole = train(observer=watch())
    for step in range(1, 10):
        path = tmp_path / f"{step}"
        with pytest.raises(killed):
            train(observer=watch(path, kill_at=step))
        assert_same_bits(whole, train(observer=watch(path)))


def test_a_run_killed_on_a_gpu_starts_anew_on_a_cpu(
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    watch: Callable,
    killed: type[Exception],
    assert_same_bits: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their generators have states of different kinds."""
    train = partial(tune, task_data(), recipe(**DROPOUT))
    with pytest.raises(killed):
        train(observer=watch(tmp_path / "checkpoint", kill_at=4))
    monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))
    assert_same_bits(train(observer=watch()), train(observer=watch(tmp_path / "checkpoint")))


def test_agrees_with_the_cpu(
    task_data: Callable, recipe: Callable, tune: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout, whose streams differ between kinds of device."""
    data, chosen = task_data(), recipe(adam_epsilon=1e-3, weight_decay=5.0)
    on_gpu = tune(data, chosen)
    monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))
    on_cpu = tune(data, chosen)
    np.testing.assert_allclose(on_gpu.splits["test"].outputs, on_cpu.splits["test"].outputs, rtol=1e-2, atol=1e-3)
    for name, weight in on_cpu.weights.items():
        torch.testing.assert_close(on_gpu.weights[name], weight, rtol=1e-2, atol=1e-4, msg=name)


@pytest.mark.parametrize("head", ["linear", "scalar_mix_mlp"])
def test_heads_repeated_bit_by_bit(
    head: str, feature_data: Callable, recipe: Callable, tune_head: Callable, assert_same_bits: Callable
) -> None:
    data, chosen = feature_data(), recipe(method="extract", head=head, learning_rate=0.01, head_dropout=0.2)
    assert_same_bits(tune_head(data, chosen), tune_head(data, chosen))


def test_peak_memory_is_that_of_the_device(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    where = torch.device("cuda")
    device.reset_peak_memory(where)
    before = device.peak_memory_mb(where)
    tune(task_data(), recipe())
    assert device.peak_memory_mb(where) > before
    assert device.device_name(where) == torch.cuda.get_device_name()

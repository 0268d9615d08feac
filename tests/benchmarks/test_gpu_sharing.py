"""What can be checked without a GPU: the runs of a stack are those of single runs, and every way of sharing runs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_sharing.py"
CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module")
def sharing() -> Any:
    spec = importlib.util.spec_from_file_location("gpu_sharing", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = sys.modules["gpu_sharing"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tiny(sharing: Any) -> Any:
    return sharing.Shape(layers=2, hidden=16, heads=2, inner=24, vocabulary=50, length=6)


@pytest.fixture
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: torch.enable_grad())


@pytest.mark.usefixtures("in_float32")
def test_each_run_of_a_stack_is_the_run_it_is_alone(sharing: Any, tiny: Any) -> None:
    stack = sharing.Training(tiny, [4, 5, 6], 3, CPU)
    singles = [sharing.Training(tiny, [seed], 3, CPU) for seed in (4, 5, 6)]
    for training in [stack, *singles]:
        for group in training.optimiser.param_groups:
            group.update(lr=1e-2, eps=1e-3)
    for _ in range(4):
        stack.step()
        for single in singles:
            single.step()
        torch.testing.assert_close(stack.loss, sum(single.loss for single in singles))
    for name, weight in stack.model.named_parameters():
        alone = torch.cat([single.model.get_parameter(name) for single in singles])
        torch.testing.assert_close(weight, alone, rtol=1e-4, atol=1e-5, msg=name)
    assert stack.tokens == sum(single.tokens for single in singles) == 3 * 3 * 6


def test_gradients_are_clipped_run_by_run(sharing: Any) -> None:
    weight, bias = torch.nn.Parameter(torch.zeros(2, 3, 4)), torch.nn.Parameter(torch.zeros(2, 4))
    weight.grad, bias.grad = torch.ones(2, 3, 4), torch.ones(2, 4)
    weight.grad[1], bias.grad[1] = 0.01, 0.01
    sharing.clip_each_run([weight, bias])
    norms = [float(torch.cat([weight.grad[run].flatten(), bias.grad[run]]).norm()) for run in range(2)]
    assert norms == pytest.approx([1.0, 0.04], rel=1e-4)


def test_the_arithmetic_counted_is_that_of_the_linear_maps(sharing: Any) -> None:
    assert sharing.Shape().training_flop(1) == 6 * 84_934_656


def test_every_way_of_sharing_runs(sharing: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARED_BY", (2,))
    rows = sharing.measure_on(CPU, tiny, (3,), 0.02)
    assert [(row["way"], row["runs"]) for row in rows] == [("single", 1), *((way, 2) for way in sharing.WAYS)]
    assert all(row.get("tokens_per_second", 0) > 0 for row in rows), rows
    text = sharing.table({"gpu": "none", "torch": "any", "rows": [*rows, {**rows[0], "error": "out of memory"}]})
    assert len(text.splitlines()) == 2 + 5 and "failed: out of memory" in text


def test_what_fails_is_reported_and_the_rest_goes_on(sharing: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Any) -> float:
        raise RuntimeError("out of memory\nsecond line")

    monkeypatch.setattr(sharing, "SHARED_BY", (2,))
    monkeypatch.setattr(sharing, "WAYS", {"streams": fail, "stacked": sharing.stacked})
    single, failed, last = sharing.measure_on(CPU, tiny, (3,), 0.01)
    assert failed["error"] == "out of memory"
    assert "error" not in single and "error" not in last


def test_a_thread_that_fails_ends_the_others(sharing: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step = sharing.Training.step

    def failing(training: Any) -> None:
        if training.model.words[0, 0, 0] == first:
            raise MemoryError("no room")
        step(training)

    first = sharing.Training(tiny, [0], 2, CPU).model.words[0, 0, 0].item()
    monkeypatch.setattr(sharing.Training, "step", failing)
    with pytest.raises(MemoryError, match="no room"):
        sharing.streams(sharing.Case(tiny, 2, 2, CPU, False, 0.01))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_without_a_gpu_one_line_says_so(sharing: Any) -> None:
    assert sharing.measure() == {"skipped": "needs a CUDA device"}
    said = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True).stdout
    assert said == "GPU sharing: not measured, needs a CUDA device\n"


@needs_cuda
def test_a_captured_step_is_the_step(sharing: Any, tiny: Any) -> None:
    device = torch.device("cuda")
    plain = sharing.Training(tiny, [1, 2], 3, device)
    captured = sharing.Training(tiny, [1, 2], 3, device, captured=True)
    # Capturing takes steps of its own on the first batch: three that count, and a recorded one that does not.
    for _ in range(3):
        plain._compute()
    for _ in range(4):
        plain.step()
        captured.step()
    torch.testing.assert_close(captured.loss, plain.loss, rtol=1e-3, atol=1e-4)


@needs_cuda
def test_every_way_of_sharing_runs_on_a_gpu(sharing: Any, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SHARED_BY", (2,))
    rows = sharing.measure_on(torch.device("cuda"), tiny, (3,), 0.02)
    assert [row for row in rows if "error" in row] == []

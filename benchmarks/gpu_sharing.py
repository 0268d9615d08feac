"""How several small trainings share one GPU best: processes with slots, streams, stacked weights, CUDA graphs.

An encoder of BERT-base's shape with random weights is trained on random texts of equal length (bfloat16 products,
float32 weights, AdamW, clipping, no dropout), and tokens a second are counted, those of all runs together:

    processes   k processes that lease slots of the GPU from the package's broker; without NVIDIA's MPS they take turns
    streams     k threads of one process, each with a CUDA stream
    stacked     k runs as one program: weights [k, ...], linear maps as batched products

Each with its steps as they are and with its steps captured as CUDA graphs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCHES = (8, 32)
SHARED_BY = (2, 3, 4)
CLASSES = 2
SECONDS = 3.0
WARM_UP = 5
CHUNK = 5
"""Steps between two looks at the clock, which wait for the GPU."""
START_SECONDS = 180.0
"""Longest that a process of the benchmark may take to start."""


@dataclass(frozen=True)
class Shape:
    """An encoder and its texts; by default BERT-base and 40 tokens a text."""

    layers: int = 12
    hidden: int = 768
    heads: int = 12
    inner: int = 3072
    vocabulary: int = 30522
    length: int = 40

    def training_flop(self, tokens: int) -> float:
        """Arithmetic of forward and backward through the linear maps: 6 for each weight and token."""
        return 6.0 * self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.inner) * tokens


# --- R runs in one module: the first axis of every parameter and of all states is the run ---------------------


class StackedLinear(nn.Module):
    """[R, N, in] -> [R, N, out]."""

    def __init__(self, inputs: int, outputs: int, generators: list[torch.Generator]):
        super().__init__()
        drawn = [torch.empty(inputs, outputs).normal_(0.0, 0.02, generator=g) for g in generators]
        self.weight = nn.Parameter(torch.stack(drawn))
        self.bias = nn.Parameter(torch.zeros(len(generators), 1, outputs))

    def forward(self, states: Tensor) -> Tensor:
        """One product for a single run, a batched one for several."""
        if len(self.weight) == 1:
            return torch.addmm(self.bias[0, 0], states[0], self.weight[0])[None]
        return torch.baddbmm(self.bias, states, self.weight)


class StackedNorm(nn.Module):
    """LayerNorm, [R, N, H] -> [R, N, H]."""

    def __init__(self, runs: int, hidden: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(runs, 1, hidden))
        self.bias = nn.Parameter(torch.zeros(runs, 1, hidden))

    def forward(self, states: Tensor) -> Tensor:
        """The fused kernel takes one run's gains only."""
        size = states.shape[-1:]
        if len(self.gain) == 1:
            return F.layer_norm(states, size, self.gain[0, 0], self.bias[0, 0])
        return F.layer_norm(states, size) * self.gain + self.bias


class StackedLayer(nn.Module):
    """A transformer layer as in BERT (normalised after the residual)."""

    def __init__(self, shape: Shape, generators: list[torch.Generator]):
        super().__init__()
        self.shape = shape
        self.projection = StackedLinear(shape.hidden, 3 * shape.hidden, generators)
        self.mixed = StackedLinear(shape.hidden, shape.hidden, generators)
        self.attention_norm = StackedNorm(len(generators), shape.hidden)
        self.inner = StackedLinear(shape.hidden, shape.inner, generators)
        self.outer = StackedLinear(shape.inner, shape.hidden, generators)
        self.output_norm = StackedNorm(len(generators), shape.hidden)

    def forward(self, states: Tensor) -> Tensor:
        """[R, B * length, H] -> the same."""
        runs, tokens, hidden = states.shape
        size = hidden // self.shape.heads
        projected = self.projection(states).view(-1, self.shape.length, 3, self.shape.heads, size)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(runs, tokens, hidden)
        states = self.attention_norm(states + self.mixed(mixed))
        return self.output_norm(states + self.outer(F.gelu(self.inner(states))))


class StackedClassifier(nn.Module):
    """Embeddings, layers, mean pooling, linear head: ids [R, B, length] -> scores [R, B, classes]."""

    def __init__(self, shape: Shape, seeds: list[int]):
        super().__init__()
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape = shape

        def table(rows: int) -> nn.Parameter:
            return nn.Parameter(
                torch.stack([torch.empty(rows, shape.hidden).normal_(0.0, 0.02, generator=g) for g in generators])
            )

        self.words = table(shape.vocabulary)
        self.positions = table(shape.length)
        self.norm = StackedNorm(len(seeds), shape.hidden)
        self.layers = nn.ModuleList(StackedLayer(shape, generators) for _ in range(shape.layers))
        self.head = StackedLinear(shape.hidden, CLASSES, generators)

    def forward(self, ids: Tensor) -> Tensor:
        """Score every text of every run."""
        runs, texts, length = ids.shape
        first_rows = torch.arange(runs, device=ids.device)[:, None, None] * self.shape.vocabulary
        words = F.embedding(ids + first_rows, self.words.flatten(0, 1))
        states = self.norm((words + self.positions[:, None]).flatten(1, 2))
        for layer in self.layers:
            states = layer(states)
        return self.head(states.view(runs, texts, length, -1).mean(2))


def clip_each_run(parameters: list[nn.Parameter], largest: float = 1.0) -> None:
    """Bound the gradient norm of each run of a stack."""
    if len(parameters[0]) == 1:
        nn.utils.clip_grad_norm_(parameters, largest)
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(g.flatten(1), dim=1) for g in gradients])
    factors = (largest / (torch.linalg.vector_norm(norms, dim=0) + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))


class Training:
    """R runs in lockstep, one batch for each a step.

    Args:
        captured: Whether a step is captured once as a CUDA graph and then replayed.
    """

    def __init__(self, shape: Shape, seeds: list[int], batch: int, device: torch.device, captured: bool = False):
        self.device = device
        self.tokens = len(seeds) * batch * shape.length
        self.model = StackedClassifier(shape, seeds).to(device)
        self.parameters = list(self.model.parameters())
        self.optimiser = torch.optim.AdamW(self.parameters, lr=2e-5, fused=True, capturable=captured)
        drawn = [torch.Generator().manual_seed(seed) for seed in seeds]
        ids = [torch.randint(shape.vocabulary, (16, batch, shape.length), generator=g) for g in drawn]
        labels = [torch.randint(CLASSES, (16, batch), generator=g) for g in drawn]
        self.pool = torch.stack(ids, dim=1).to(device), torch.stack(labels, dim=1).to(device)
        # A graph reads its inputs where they lay when it was captured.
        self.ids, self.labels = (part[0].clone() for part in self.pool)
        self.loss = torch.zeros((), device=device)
        self.steps = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        if captured:
            self._capture()

    def _compute(self) -> None:
        # No cache: every weight is used once a step, and a graph must not keep one from outside.
        with torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False):
            scores = self.model(self.ids)
        # Summed over runs, so that each has the gradient it has alone.
        losses = F.cross_entropy(scores.float().flatten(0, 1), self.labels.flatten(), reduction="none")
        loss = losses.view(len(scores), -1).mean(1).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip_each_run(self.parameters)
        self.optimiser.step()
        self.loss = loss.detach()

    def _capture(self) -> None:
        """As torch documents it: some steps on a stream of their own, then one that is recorded."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._compute()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._compute()
        self.graph = graph

    def step(self) -> None:
        """One update of every run."""
        for held, part in zip((self.ids, self.labels), self.pool, strict=True):
            held.copy_(part[self.steps % len(part)])
        if self.graph is None:
            self._compute()
        else:
            self.graph.replay()
        self.steps += 1


def synchronise(device: torch.device) -> None:
    """Wait for what this thread's stream has been given."""
    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()


def rate(training: Training, seconds: float, ready: Callable[[], object] = lambda: None) -> float:
    """Tokens a second after warm-up; `ready` is called between the two and may wait for others."""
    for _ in range(WARM_UP):
        training.step()
    synchronise(training.device)
    ready()
    steps, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        for _ in range(CHUNK):
            training.step()
        synchronise(training.device)
        steps += CHUNK
    return steps * training.tokens / spent


# --- ways to share -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """What every way of sharing is measured on."""

    shape: Shape
    batch: int
    runs: int
    device: torch.device
    captured: bool
    seconds: float


def stacked(case: Case) -> float:
    """All runs as one program; a single run with `runs=1`."""
    training = Training(case.shape, list(range(case.runs)), case.batch, case.device, case.captured)
    return rate(training, case.seconds)


def streams(case: Case) -> float:
    """A thread and a stream for each run."""
    cuda = case.device.type == "cuda"
    # Captured here: while a graph is recorded no other thread may use the device.
    trainings = [Training(case.shape, [seed], case.batch, case.device, case.captured) for seed in range(case.runs)]
    if cuda:
        torch.cuda.synchronize(case.device)
    everyone = threading.Barrier(case.runs, timeout=START_SECONDS)
    rates: list[float] = []
    failures: list[Exception] = []

    def train(training: Training) -> None:
        stream: AbstractContextManager[object] = nullcontext()
        if cuda:
            stream = torch.cuda.stream(torch.cuda.Stream(case.device))
        try:
            with stream:
                rates.append(rate(training, case.seconds, everyone.wait))
        except Exception as error:
            failures.append(error)
            everyone.abort()

    threads = [threading.Thread(target=train, args=(training,)) for training in trainings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(rates)


def processes(case: Case) -> float:
    """A process with a slot for each run; they begin to measure together."""
    with tempfile.TemporaryDirectory() as folder:
        facts = {**asdict(case), "device": case.device.type, "slots": folder}
        workers = [
            subprocess.Popen(
                [sys.executable, __file__, "--worker", json.dumps({**facts, "seed": seed})],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for seed in range(case.runs)
        ]

        def end() -> None:
            for worker in workers:
                worker.kill()

        watchdog = threading.Timer(START_SECONDS + 10 * case.seconds, end)
        watchdog.start()
        try:
            for worker in workers:
                _answer(worker, "ready")
            for worker in workers:
                assert worker.stdin is not None
                print("go", file=worker.stdin, flush=True)
            return sum(float(_answer(worker, "rate")) for worker in workers)
        finally:
            watchdog.cancel()
            end()
            for worker in workers:
                worker.communicate()


def _answer(worker: subprocess.Popen[str], key: str) -> str:
    """The rest of the worker's next line that begins with `key`; other lines are passed over."""
    assert worker.stdout is not None
    for line in worker.stdout:
        word, _, rest = line.strip().partition(" ")
        if word == key:
            return rest
    raise RuntimeError(f"a process ended before it said {key}")


def work(facts: dict[str, Any]) -> None:
    """What a process of `processes` does: lease a slot, warm up, wait for the others, measure."""
    from transfer_atlas.training import placement

    torch.set_num_threads(1)
    if facts["device"] == "cuda":
        # All on one GPU, so that they share it; with locks of their own, so that no other job is in the way.
        devices = placement.visible_devices(os.environ, torch.cuda.device_count)[:1]
        placement.lease(facts["runs"], devices, Path(facts["slots"]))
    training = Training(
        Shape(**facts["shape"]), [facts["seed"]], facts["batch"], torch.device(facts["device"]), facts["captured"]
    )

    def ready() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    print("rate", rate(training, facts["seconds"], ready), flush=True)


WAYS: dict[str, Callable[[Case], float]] = {"processes": processes, "streams": streams, "stacked": stacked}


# --- the benchmark -------------------------------------------------------------------------------------------


def measure_on(device: torch.device, shape: Shape, batches: tuple[int, ...], seconds: float) -> list[dict[str, Any]]:
    """One row for each batch size, way, number of runs and kind of step.

    A row holds `tokens_per_second` of all runs together and its `ratio` to the plain single run, or the `error` of
    what did not work.
    """
    rows: list[dict[str, Any]] = []
    for batch in batches:
        single = float("nan")
        ways = [("single", 1, stacked), *((name, k, way) for name, way in WAYS.items() for k in SHARED_BY)]
        for name, runs, way in ways:
            # Only CUDA has graphs.
            for captured in (False, True) if device.type == "cuda" else (False,):
                row = {"batch": batch, "way": name, "runs": runs, "captured": captured}
                try:
                    found = way(Case(shape, batch, runs, device, captured, seconds))
                except Exception as error:
                    reason = str(error).splitlines() or [type(error).__name__]
                    rows.append({**row, "error": reason[0]})
                else:
                    if name == "single" and not captured:
                        single = found
                    rows.append(
                        {
                            **row,
                            "tokens_per_second": found,
                            "ratio": found / single,
                            "teraflop_per_second": shape.training_flop(1) * found / 1e12,
                        }
                    )
                if device.type == "cuda":
                    torch.cuda.empty_cache()
    return rows


def measure() -> dict[str, Any]:
    """Rows of `measure_on` for BERT-base on the first GPU, or why there are none."""
    if not torch.cuda.is_available():
        return {"skipped": "needs a CUDA device"}
    device = torch.device("cuda")
    return {
        "gpu": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "shape": asdict(Shape()),
        "seconds": SECONDS,
        "rows": measure_on(device, Shape(), BATCHES, SECONDS),
    }


def table(result: dict[str, Any]) -> str:
    """The rows for people."""
    lines = [f"{result['gpu']}, torch {result['torch']}; tokens a second of all runs together"]
    lines.append(f"{'batch':>5}  {'way':<10}{'runs':>4}  {'steps':<8}{'tokens/s':>12}{'ratio':>8}{'TFLOP/s':>9}")
    for row in result["rows"]:
        kind = "graph" if row["captured"] else "plain"
        start = f"{row['batch']:>5}  {row['way']:<10}{row['runs']:>4}  {kind:<8}"
        if "error" in row:
            lines.append(f"{start}failed: {row['error']}")
        else:
            rates = f"{row['tokens_per_second']:>12,.0f}{row['ratio']:>8.2f}{row['teraflop_per_second']:>9.1f}"
            lines.append(start + rates)
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table, or one line that says why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(json.loads(arguments.worker))
        return
    result = measure()
    print(f"GPU sharing: not measured, {result['skipped']}" if "skipped" in result else table(result))


if __name__ == "__main__":
    main()

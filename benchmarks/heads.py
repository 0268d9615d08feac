"""(d) Heads on cached features: against re-encoding the texts for each head, and against scikit-learn's MLPClassifier.

A grid of heads, every layer x seed x strength of weight decay, is trained on the representations of 500 texts, on one
core, validated and tested:

    linear   on one layer
    MLP      on one layer: a hidden layer of 256 units (`scalar_mix_mlp` given that layer alone)

Without a cache the frozen encoder runs on each batch of each epoch, for every head. That is estimated from the time to
encode every text once with an encoder of MiniLM's shape, really measured; also given is what encoding once for each
head would take. Ours includes encoding once for all. scikit-learn trains the same grid with the same hidden width,
batch, updates and learning rate, without early stopping; a part of the grid is measured and scaled up. Numbers are made
up; the time does not depend on them.

python -m benchmarks.heads
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor
from transformers import BertConfig, BertModel

from benchmarks.figures import of, ratio
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training import device
from transfer_atlas.training.head_training import FeatureData, HeadRun, stacks, train_heads
from transfer_atlas.training.loop import Snapshot

REENCODING, GRID = 50.0, 20.0
"""Targets: how many times as fast as re-encoding, and as scikit-learn's grid."""


@dataclass(frozen=True)
class Grid:
    """Heads to train, and on what; by default MiniLM-L6's features of a small task."""

    layers: int = 6
    hidden_size: int = 384
    inner: int = 1536
    attention_heads: int = 12
    length: int = 20
    texts: tuple[tuple[str, int], ...] = (("train", 500), ("validation", 200), ("test", 500))
    seeds: int = 3
    decays: tuple[float, ...] = (0.0, 0.001, 0.01, 0.1, 1.0)
    epochs: int = 10
    batch_size: int = 32
    width: int = 256
    repeats: int = 3
    scikit_heads: int = 4

    @property
    def heads(self) -> int:
        """Number of heads of one kind."""
        return (self.layers + 1) * self.seeds * len(self.decays)

    @property
    def passes(self) -> float:
        """How often a head reads a text on average: those of training at each epoch, the others once."""
        sizes = dict(self.texts)
        return 1 + (self.epochs - 1) * sizes["train"] / sum(sizes.values())


class Unwatched:
    """An observer of trainings that does nothing."""

    def start(self, total_steps: int) -> Snapshot | None:
        """Nothing to go on from."""
        return None

    def step(self, step: int, total: int, loss: Tensor, tokens: int, snapshot: Callable[[], Snapshot]) -> None:
        """Nothing to keep."""


def made_up(grid: Grid) -> FeatureData:
    """Random representations of two classes that lie a little apart."""
    random = np.random.default_rng(0)
    splits, states = {}, {}
    for split, n in grid.texts:
        labels = random.integers(0, 2, n)
        drawn = random.normal(size=(n, grid.layers + 1, grid.hidden_size)) + 0.05 * labels[:, None, None]
        splits[split] = Examples([f"{split}:{k}" for k in range(n)], [""] * n, None, labels)
        states[split] = drawn.astype(np.float32)
    task = Task.model_validate({"type": "sequence_classification", "files": {"train": "made up"}})
    lengths = {split: np.full(n, grid.length) for split, n in grid.texts}
    return FeatureData(task, 2, splits, states, lengths, truncated={split: 0 for split in splits})


def one_layer(data: FeatureData, layer: int) -> FeatureData:
    """The same task with the states of one layer alone."""
    states = {split: np.ascontiguousarray(values[:, layer : layer + 1]) for split, values in data.states.items()}
    return FeatureData(data.task, data.classes, data.splits, states, data.lengths, data.truncated)


def runs_of(grid: Grid, data: FeatureData, kind: str, dropout: float = 0.0) -> list[HeadRun]:
    """The grid's heads."""
    layers = range(grid.layers + 1)
    alone = [one_layer(data, layer) for layer in layers]
    runs = []
    for layer, decay, seed in itertools.product(layers, grid.decays, range(grid.seeds)):
        settings: dict[str, Any] = {
            "method": "extract",
            "learning_rate": 1e-3,
            "weight_decay": decay,
            "epochs": grid.epochs,
            "batch_size": grid.batch_size,
            "head_dropout": dropout,
        }
        if kind == "linear":
            runs.append(HeadRun(data, Recipe.model_validate({**settings, "layer": layer}), "all", seed))
        else:
            recipe = Recipe.model_validate({**settings, "head": "scalar_mix_mlp", "hidden": grid.width})
            runs.append(HeadRun(alone[layer], recipe, "all", seed))
    return runs


def ours(runs: Sequence[HeadRun]) -> float:
    """Seconds to train and score all heads."""
    start = time.perf_counter()
    for stack in stacks(runs):
        train_heads([runs[k] for k in stack], Unwatched())
    return time.perf_counter() - start


def scikit(grid: Grid, data: FeatureData, hidden: tuple[int, ...]) -> float:
    """Seconds that scikit-learn would need for all heads of the grid, from some of them."""
    features = {split: np.ascontiguousarray(values[:, 0]) for split, values in data.states.items()}
    start = time.perf_counter()
    for seed in range(grid.scikit_heads):
        model = MLPClassifier(
            hidden,
            batch_size=grid.batch_size,
            max_iter=grid.epochs,
            n_iter_no_change=grid.epochs,
            tol=0.0,
            alpha=0.01,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(features["train"], data.splits["train"].labels)
        assert model.n_iter_ == grid.epochs
        for split in ("validation", "test"):
            model.predict_proba(features[split])
    return (time.perf_counter() - start) / grid.scikit_heads * grid.heads


@torch.no_grad()
def encode_once(grid: Grid) -> float:
    """Seconds to encode all texts once: equally long, so nothing is padded; bfloat16 where the processor has it."""
    config = BertConfig(
        vocab_size=1000,
        hidden_size=grid.hidden_size,
        num_hidden_layers=grid.layers,
        num_attention_heads=grid.attention_heads,
        intermediate_size=grid.inner,
    )
    encoder = BertModel(config).eval()
    texts = sum(n for _, n in grid.texts)
    ids = torch.randint(1000, (texts, grid.length), generator=torch.Generator().manual_seed(0))
    where = torch.device("cpu")
    with torch.autocast("cpu", torch.bfloat16, enabled=device.resolve_precision("auto", where) == "bfloat16"):
        encoder(ids[:8])
        start = time.perf_counter()
        for part in ids.split(64):
            encoder(part, output_hidden_states=True)
    return time.perf_counter() - start


def measure(grid: Grid | None = None) -> dict[str, Any]:
    """Seconds of each system on one core, in as many repeats as the grid has, and their ratios with 95 % intervals."""
    grid = grid or Grid()
    device.prepare_process()
    data = made_up(grid)
    repeats = range(grid.repeats)
    # An MLP takes as long as thirty linear heads.
    kinds = {"linear": ((), grid), "MLP": ((grid.width,), replace(grid, seeds=1))}
    seconds: dict[str, list[float]] = {}
    figures = []
    with threadpool_limits(1):
        seconds["encoding once"] = [encode_once(grid) for _ in repeats]
        for kind, (hidden, part) in kinds.items():
            runs, dropped = (runs_of(part, data, kind, dropout) for dropout in (0.0, 0.1))
            ours(runs[:2])  # libraries load what they need at first use
            trained = seconds[kind] = [ours(runs) for _ in repeats]
            seconds[f"{kind} with dropout"] = [ours(dropped) for _ in repeats]
            other = seconds[f"{kind}, scikit-learn"] = [scikit(part, data, hidden) for _ in repeats]
            whole = [encoding + heads for encoding, heads in zip(seconds["encoding once"], trained, strict=True)]
            once = [encoding * part.heads for encoding in seconds["encoding once"]]
            name = f"{part.heads} {kind} heads"
            figures.append(of(ratio(once, whole), f"{name}: encoding once a head / ours", "times"))
            each = [encoding * part.passes for encoding in once]
            estimate = ratio(each, whole)
            figures.append(
                of(estimate, f"{name}: encoding at every epoch / ours", "times", target=REENCODING, at_least=True)
            )
            estimate = ratio(other, trained)
            figures.append(of(estimate, f"{name}: scikit-learn / ours", "times", target=GRID, at_least=True))
    return {"figures": [asdict(figure) for figure in figures], "measured": seconds}


def main() -> None:
    """Print what was measured."""
    found = measure()
    for name, values in found["measured"].items():
        print(f"{name}: {', '.join(f'{value:.2f}' for value in values)} s")
    for figure in found["figures"]:
        target = "" if figure["target"] is None else f", target {figure['target']:.0f}"
        print(f"{figure['name']}: {figure['value']:.1f} {figure['unit']}{target}")


if __name__ == "__main__":
    main()

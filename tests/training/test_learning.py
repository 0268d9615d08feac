"""Training learns: tasks that a bag of words solves are solved."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from transfer_atlas.layout import Layout
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.representations.extraction import encoded, pooled_states
from transfer_atlas.settings import Engine, Recipe, Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.head_training import FeatureData
from transfer_atlas.training.metrics import scores
from transfer_atlas.training.task_data import TaskData
from transfer_atlas.training.unit_examples import UnitExamples

CLASSES, REGRESSION = "sequence_classification", "pair_regression"


def separable(n: int, seed: int) -> Examples:
    """The class is whether words come from the first four or from four others."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    words = [[f"w{k}" for k in random.integers(4 * label, 4 * label + 4, random.integers(4, 9))] for label in labels]
    return Examples([str(row) for row in range(n)], [" ".join(text) for text in words], None, labels)


def graded(n: int, seed: int) -> Examples:
    """The score is the share of the first four words, between 0 and 5."""
    random = np.random.default_rng(seed)
    texts, shares = [], []
    for _ in range(n):
        low = random.random(8) < random.random()
        texts.append(" ".join(f"w{random.integers(4) + 4 * (not first)}" for first in low))
        shares.append(5 * low.mean())
    return Examples([str(row) for row in range(n)], texts, ["w0"] * n, np.array(shares))


def task_data(kind: str, pretrained: Pretrained) -> TaskData:
    draw, extra = (separable, {}) if kind == CLASSES else (graded, {"score_range": [0.0, 5.0]})
    task = Task.model_validate({"type": kind, "files": {"train": "train.csv"}, "max_length": 16, **extra})
    sizes = {"train": 96, "validation": 60, "test": 60}
    splits = {split: draw(n, seed) for seed, (split, n) in enumerate(sizes.items())}
    return TaskData.of(
        task, ["no", "yes"] if kind == CLASSES else None, splits, pretrained, Layout("tokens", False, None, None)
    )


def assert_learnt(kind: str, trained: object, data: TaskData) -> None:
    for split in ("validation", "test"):
        found = scores(kind, trained.splits[split].outputs, data.splits[split].labels)  # type: ignore[attr-defined]
        assert found["accuracy" if kind == CLASSES else "pearson"] > 0.95, (split, found)


@pytest.mark.parametrize("encoder", ["bert", "roberta"])
@pytest.mark.parametrize("kind", [CLASSES, REGRESSION])
def test_fine_tuning(
    kind: str, encoder: str, load: Callable, recipe: Callable[..., Recipe], tune: Callable, watch: Callable
) -> None:
    pretrained = load(encoder)
    data = task_data(kind, pretrained)
    seen = watch()
    settings = {"learning_rate": 3e-3, "epochs": 12, "batch_size": 16, "drop": 0.1}
    trained = tune(data, recipe(**settings), encoder=pretrained, observer=seen)
    assert np.mean(seen.losses[-6:]) < 0.3 * np.mean(seen.losses[:3])
    assert_learnt(kind, trained, data)


@pytest.mark.parametrize("head", ["linear", "scalar_mix_mlp"])
@pytest.mark.parametrize("kind", [CLASSES, REGRESSION])
def test_extraction(
    kind: str, head: str, pretrained: Pretrained, recipe: Callable[..., Recipe], tune_head: Callable
) -> None:
    data = task_data(kind, pretrained)
    cpu = torch.device("cpu")
    encode = encoding_of(pretrained.encoder.eval(), Engine())

    def pooled(examples: UnitExamples) -> np.ndarray:
        rows, states = zip(*encoded(encode, examples, cpu, "float32", 1e9), strict=True)
        found = torch.cat([pooled_states(part, "mean", None, 1) for part in states], dim=1).transpose(0, 1)
        return found[torch.argsort(torch.cat(rows))].numpy()

    features = FeatureData(
        data.task,
        len(data.names or []),
        data.splits,
        {split: pooled(examples) for split, examples in data.units.items()},
        {split: examples.sizes().numpy() for split, examples in data.units.items()},
        truncated=dict.fromkeys(("train", "validation", "test"), 0),
    )
    settings = {"method": "extract", "head": head, "layer": "last" if head == "scalar_mix_mlp" else 0, "hidden": 32}
    trained = tune_head(features, recipe(learning_rate=0.02, epochs=40, batch_size=16, **settings))
    assert_learnt(kind, trained, data)

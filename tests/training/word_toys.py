"""Little tasks on words and pairs that a tiny encoder can learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from transfer_atlas.layout import Layout
from transfer_atlas.models.elmo.pretrained import PretrainedElmo
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.settings import Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.task_data import TaskData

WORDS = Layout("words", False, "first", None)
SEPARATE = Layout("tokens", True, None, None)
SEGMENTS = Layout("segments", False, None, None)
TAGS = ["O", "B-X", "I-X"]
SIZES = {"train": 96, "validation": 40, "test": 40}
FEW = {"train": 12, "validation": 9, "test": 7}


def examples_of(sentences: list[list[str]], labels: list[int], spans: list | None = None) -> Examples:
    ids = [f"t:{row}" for row in range(1, len(sentences) + 1)]
    marked = None if spans is None else np.array(spans, dtype=np.int64)
    return Examples(ids, [" ".join(one) for one in sentences], None, np.array(labels), words=sentences, spans=marked)


def drawn(random: np.random.Generator, first: int = 1, last: int = 20) -> list[int]:
    return random.integers(first, last, random.integers(3, 8)).tolist()


def parity(n: int, seed: int) -> Examples:
    """Each word's label is whether its number is odd."""
    random = np.random.default_rng(seed)
    numbers = [drawn(random) for _ in range(n)]
    return examples_of([[f"w{k}" for k in one] for one in numbers], [k % 2 for one in numbers for k in one])


def marked(n: int, seed: int) -> Examples:
    """w0 and the word behind it are a span; that word alone does not tell."""
    random = np.random.default_rng(seed)
    sentences, tags = [], []
    for _ in range(n):
        sentence: list[int] = []
        for word in drawn(random):
            begins = random.random() < 0.3
            sentence += [0, word] if begins else [word]
            tags += [1, 2] if begins else [0]
        sentences.append([f"w{k}" for k in sentence])
    return examples_of(sentences, tags)


def arcs(n: int, seed: int) -> Examples:
    """The class is made of the parities of two marked words; every fourth row's first span has two words."""
    random = np.random.default_rng(seed)
    sentences, labels, spans = [], [], []
    for row in range(n):
        numbers = drawn(random, last=9)
        first, second = random.integers(0, len(numbers), 2).tolist()
        if row % 4 == 0:
            numbers.insert(first + 1, numbers[first] % 2 + 2 * int(random.integers(1, 4)))
            second += second > first
        end = first + (2 if row % 4 == 0 else 1)
        labels.append(numbers[first] % 2 + 2 * (numbers[second] % 2))
        spans.append([[first, end], [second, second + 1]])
        sentences.append([f"w{k}" for k in numbers])
    return examples_of(sentences, labels, spans)


def pairs(n: int, seed: int) -> Examples:
    """Whether both texts have words of the same kind."""
    random = np.random.default_rng(seed)
    kinds = random.integers(0, 2, (n, 2))
    texts = [[" ".join(f"w{k}" for k in random.integers(4 * kind, 4 * kind + 4, 4)) for kind in row] for row in kinds]
    same = (kinds[:, 0] == kinds[:, 1]).astype(np.int64)
    return Examples([f"t:{row}" for row in range(n)], [a for a, _ in texts], [b for _, b in texts], same)


def graded(n: int, seed: int, factor: float = 1.0) -> Examples:
    """How many words of the first text are of the first kind."""
    random = np.random.default_rng(seed)
    shares = random.integers(0, 9, n)
    texts = [" ".join(f"w{random.integers(4) + 4 * (k >= share)}" for k in range(8)) for share in shares]
    return Examples([f"t:{row}" for row in range(n)], texts, ["w1 w2"] * n, factor * 0.5 * shares)


TOYS: dict[str, tuple[Callable[..., Examples], str, list[str] | None]] = {
    "parity": (parity, "token_labelling", ["even", "odd"]),
    "marked": (marked, "token_labelling", TAGS),
    "arcs": (arcs, "span_pair_classification", ["00", "10", "01", "11"]),
    "pairs": (pairs, "pair_classification", ["other", "same"]),
    "graded": (graded, "pair_regression", None),
}


def toy(
    name: str,
    model: Pretrained | PretrainedElmo,
    layout: Layout = WORDS,
    *,
    max_length: int = 32,
    sizes: dict[str, int] = SIZES,
    **changes: Any,
) -> TaskData:
    draw, kind, names = TOYS[name]
    task = Task.model_validate(
        {
            "type": kind,
            "files": {"train": "train"},
            "max_length": max_length,
            "tags": "bio" if names is TAGS else "words",
            "score_range": [0.0, 100.0] if names is None else None,
        }
    )
    splits = {split: draw(n, seed, **changes) for seed, (split, n) in enumerate(sizes.items())}
    return TaskData.of(task, names, splits, model, layout)


def assert_learnt(trained: Any, data: TaskData, least: float = 0.95) -> None:
    for split in ("validation", "test"):
        assert trained.splits[split].scores[data.task.main_metric] > least, (split, trained.splits[split].scores)

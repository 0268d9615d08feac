from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModel

from transfer_atlas.models.encoder import Pretrained, load_pretrained
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.scalar_mix import ScalarMixMLP
from transfer_atlas.representations.extraction import pooled_states
from transfer_atlas.settings import Engine, Recipe, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device
from transfer_atlas.training.head_training import FeatureData, HeadRun, train_heads
from transfer_atlas.training.loop import Snapshot, fit, predict
from transfer_atlas.training.token_examples import TokenisedExamples, tokenise

CPU = torch.device("cpu")


class Unwatched:
    """An observer that does nothing."""

    def start(self, total_steps: int) -> Snapshot | None:
        return None

    def step(self, *_: Any) -> None: ...


class Stock:
    """transformers' own model with padding."""

    def __init__(self, folder: Path, tokenizer: Any):
        self.model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
        self.tokenizer = tokenizer

    @torch.no_grad()
    def states(self, texts: list[str], pairs: list[str] | None, pooling: str) -> Tensor:
        """Pooled states of the embeddings and every layer, [N, layers + 1, H]."""
        inputs = self.tokenizer(texts, pairs, padding=True, return_tensors="pt")
        layers = torch.stack(self.model(**inputs, output_hidden_states=True).hidden_states, dim=1)
        if pooling == "first":
            return layers[:, :, 0]
        mask = inputs["attention_mask"][:, None, :, None]
        return (layers * mask).sum(2) / mask.sum(2)


def tokenised(pretrained: Pretrained, texts: list[str], pairs: list[str] | None = None) -> TokenisedExamples:
    labels = np.zeros(len(texts), dtype=np.int64)
    return tokenise(pretrained.tokenizer, texts, pairs, labels, 64, pretrained.position_offset)


def pooled(
    pretrained: Pretrained,
    examples: TokenisedExamples,
    pooling: str = "mean",
    precision: str = "float32",
    progress_seconds: float = 1e9,
) -> np.ndarray:
    return pooled_states(pretrained.encoder, examples, pooling, CPU, precision, Engine(), progress_seconds)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_every_layer_equals_the_stock_model(
    kind: str, pooling: str, make_encoder: Callable[..., Path], sentences: Callable[..., list[str]]
) -> None:
    """More texts than one batch of evaluation, in no order of length."""
    folder = make_encoder(kind)
    pretrained = load_pretrained(folder)
    texts, pairs = sentences(70, seed=1), sentences(70, seed=2)

    found = pooled(pretrained, tokenised(pretrained, texts, pairs), pooling)

    assert found.shape == (70, 4, 32)
    assert found.dtype == np.float32
    expected = Stock(folder, pretrained.tokenizer).states(texts, pairs, pooling)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=2e-5)
    assert not np.allclose(found[:, 0], found[:, 3], atol=0.1)


def test_the_encoders_dropout_is_off(load: Callable[..., Pretrained], sentences: Callable[..., list[str]]) -> None:
    pretrained = load(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    examples = tokenised(pretrained, sentences(10))
    first, again = (pooled(pretrained, examples) for _ in range(2))
    assert np.array_equal(first, again)


def test_bfloat16_is_stored_as_float32(load: Callable[..., Pretrained], sentences: Callable[..., list[str]]) -> None:
    """Stated tolerance: mean error below 2 % of the states' deviation."""
    pretrained = load()
    examples = tokenised(pretrained, sentences(20))
    exact = pooled(pretrained, examples)
    rough = pooled(pretrained, examples, precision="bfloat16")
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact)[:, 1:].mean() < 0.02 * exact.std()


def test_says_how_it_gets_on(
    load: Callable[..., Pretrained], sentences: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    pretrained = load()
    examples = tokenised(pretrained, sentences(70))
    capsys.readouterr()
    pooled(pretrained, examples, progress_seconds=0.0)
    lines = capsys.readouterr().out.splitlines()
    total = int(examples.lengths.sum())
    assert len(lines) == 2
    assert f"encoded {total:,} of {total:,} tokens" in lines[-1]


# --- heads on stored states are heads on the frozen encoder ------------------------------------------------


class Live:
    """Examples that a frozen stock encoder encodes anew for each batch."""

    def __init__(self, stock: Stock, examples: Examples, layer: int | None):
        self.stock, self.examples, self.layer = stock, examples, layer
        self.targets = torch.from_numpy(examples.labels)

    def __len__(self) -> int:
        return len(self.examples)

    def sizes(self) -> Tensor:
        # As if all were equally long: the loop of fine-tuning sorts a batch by length, that of heads does not.
        return torch.ones(len(self.examples), dtype=torch.int64)

    def batch(self, rows: Tensor, device: torch.device) -> Tensor:
        states = self.stock.states([self.examples.texts[row] for row in rows], None, "mean")
        return states if self.layer is None else states[:, self.layer]


@pytest.mark.parametrize("head", ["linear", "scalar_mix_mlp"])
def test_a_head_on_stored_states_equals_one_on_the_live_encoder(
    head: str,
    make_encoder: Callable[..., Path],
    sentences: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The encoder's own dropout is off in both, the head's is on."""
    monkeypatch.setattr(device, "choose_device", lambda: CPU)
    folder = make_encoder("roberta")
    pretrained = load_pretrained(folder)
    random = np.random.default_rng(0)
    splits = {
        split: Examples([f"{k}" for k in range(n)], sentences(n, seed=n), None, random.integers(0, 3, n))
        for split, n in {"train": 20, "validation": 8, "test": 9}.items()
    }
    examples = {split: tokenised(pretrained, part.texts) for split, part in splits.items()}
    task = Task.model_validate({"type": "sequence_classification", "files": {"train": "train.csv"}})
    data = FeatureData(
        task,
        3,
        splits,
        {s: pooled(pretrained, part) for s, part in examples.items()},
        {split: np.ones(len(part), dtype=np.int64) for split, part in examples.items()},
        truncated=0,
    )
    recipe = Recipe.model_validate(
        {
            "method": "extract",
            "head": head,
            "hidden": 8,
            "head_dropout": 0.2,
            "learning_rate": 0.01,
            "adam_epsilon": 1e-4,
            "batch_size": 6,
            "precision": "float32",
        }
    )

    (stored,) = train_heads([HeadRun(data, recipe, "all", 2)], Unwatched())

    init = torch.Generator().manual_seed(stream_seed(2, "init"))
    stock = Stock(folder, pretrained.tokenizer)
    layer = 3 if head == "linear" else None
    module = LinearHead(32, 3, 0.2, init) if head == "linear" else ScalarMixMLP(32, 3, 8, 3, 0.2, init)
    live = Live(stock, splits["train"].take(nested_subset(20, "all", 2)), layer)
    fitted = fit(module, live, recipe, 2, device=CPU, precision="float32", observer=Unwatched())
    expected = predict(module, Live(stock, splits["test"], layer), CPU, "float32")

    assert stored.fitted.tokens == fitted.tokens
    np.testing.assert_allclose(stored.splits["test"].outputs, expected, rtol=1e-3, atol=1e-4)

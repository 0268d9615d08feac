from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModel

from transfer_atlas.errors import UserError
from transfer_atlas.layout import Layout
from transfer_atlas.models.elmo.characters import read_words
from transfer_atlas.models.elmo.pretrained import PretrainedElmo, load_pretrained_elmo
from transfer_atlas.models.encoder import Pretrained, load_pretrained
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.scalar_mix import ScalarMixMLP
from transfer_atlas.models.loading import frozen_encoder, frozen_pooler
from transfer_atlas.models.trainable import Trainable
from transfer_atlas.representations import storage
from transfer_atlas.representations.extraction import write_states
from transfer_atlas.settings import Engine, Recipe, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device
from transfer_atlas.training.head_training import FeatureData, HeadRun, train_heads
from transfer_atlas.training.loop import Snapshot, fit, predict
from transfer_atlas.training.unit_examples import units_of

CPU = torch.device("cpu")
MEAN = Layout("tokens", False, None, "mean")
WORDS = Layout("words", False, "first", None)


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
    def tokens(self, texts: list[str], pairs: list[str] | None) -> tuple[Tensor, Tensor]:
        """States of the embeddings and every layer, [N, layers + 1, longest, H], and which tokens exist."""
        inputs = self.tokenizer(texts, pairs, padding=True, return_tensors="pt")
        layers = torch.stack(self.model(**inputs, output_hidden_states=True).hidden_states, dim=1)
        return layers, inputs["attention_mask"].bool()

    @torch.no_grad()
    def states(self, texts: list[str], pairs: list[str] | None, pooling: str) -> Tensor:
        """Pooled states of the embeddings and every layer, [N, layers + 1, H]."""
        layers, inside = self.tokens(texts, pairs)
        if pooling in ("first", "cls"):
            return layers[:, :, 0]
        if pooling == "pooler":
            return torch.stack([self.model.pooler(layer) for layer in layers.unbind(1)], dim=1)
        mask = inside[:, None, :, None]
        if pooling == "max":
            return layers.masked_fill(~mask, -torch.inf).amax(2)
        return (layers * mask).sum(2) / mask.sum(2)

    def lengths(self, texts: list[str], pairs: list[str] | None) -> list[int]:
        """Tokens of each text."""
        return [len(row) for row in self.tokenizer(texts, pairs)["input_ids"]]


def examples_of(texts: list[str], pairs: list[str] | None = None) -> Examples:
    return Examples([str(row) for row in range(len(texts))], texts, pairs, np.zeros(len(texts), dtype=np.int64))


def words_of(sentences: list[str]) -> Examples:
    words = [sentence.split() for sentence in sentences]
    labels = np.zeros(sum(map(len, words)), dtype=np.int64)
    return Examples([str(row) for row in range(len(words))], sentences, None, labels, words=words)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., storage.Stored]:
    """Encode examples as a layout says, and read what was stored."""

    def of(
        model: Pretrained | PretrainedElmo,
        examples: Examples,
        layout: Layout,
        precision: str = "float32",
        progress_seconds: float = 1e9,
        max_length: int = 64,
    ) -> storage.Stored:
        layers = 2 if isinstance(model, PretrainedElmo) else 3
        shape = write_states(
            tmp_path,
            "train",
            frozen_encoder(model, Engine(), CPU)[1],
            units_of(model, examples, layout, max_length),
            pooling=layout.pooled,
            pooler=frozen_pooler(model, None, CPU),
            width=model.hidden_size,
            layers=layers,
            device=CPU,
            precision=precision,
            progress_seconds=progress_seconds,
        )
        stored = storage.read_split(tmp_path, "train")
        assert stored.states.shape == shape
        return stored

    return of


def compared(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second, (first - second).abs(), first * second], dim=-1)


@pytest.mark.parametrize("pooling", ["mean", "first", "cls", "max", "pooler"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_every_layer_equals_the_stock_model(
    kind: str, pooling: Any, make_encoder: Callable[..., Path], sentences: Callable[..., list[str]], write: Callable
) -> None:
    """More texts than one batch of evaluation, in no order of length."""
    folder = make_encoder(kind)
    pretrained = load_pretrained(folder, with_pooler=pooling == "pooler")
    texts, pairs = sentences(70, seed=1), sentences(70, seed=2)

    stored = write(pretrained, examples_of(texts, pairs), Layout.parse(pooling))

    assert stored.states.shape == (70, 4, 32)
    assert stored.states.dtype == np.float32
    stock = Stock(folder, pretrained.tokenizer)
    expected = stock.states(texts, pairs, pooling)
    np.testing.assert_allclose(stored.states, expected.numpy(), rtol=1e-4, atol=2e-5)
    assert not np.allclose(stored.states[:, 0], stored.states[:, 3], atol=0.1)
    assert stored.units.tolist() == [1] * 70
    assert stored.lengths.tolist() == stock.lengths(texts, pairs)


def test_pooled_pairs_that_were_encoded_one_by_one(
    make_encoder: Callable[..., Path], sentences: Callable[..., list[str]], write: Callable
) -> None:
    folder = make_encoder("bert")
    pretrained = load_pretrained(folder)
    texts, pairs = sentences(70, seed=1), sentences(70, seed=2)
    stored = write(pretrained, examples_of(texts, pairs), Layout("tokens", True, None, "mean"))
    stock = Stock(folder, pretrained.tokenizer)
    expected = compared(stock.states(texts, None, "mean"), stock.states(pairs, None, "mean"))
    np.testing.assert_allclose(stored.states, expected.numpy(), rtol=1e-4, atol=2e-5)
    assert stored.lengths.tolist() == np.add(stock.lengths(texts, None), stock.lengths(pairs, None)).tolist()


def test_all_tokens_in_the_order_of_the_texts(
    make_encoder: Callable[..., Path], sentences: Callable[..., list[str]], write: Callable
) -> None:
    folder = make_encoder("roberta")
    pretrained = load_pretrained(folder)
    texts, pairs = sentences(70, seed=1), sentences(70, seed=2)
    stored = write(pretrained, examples_of(texts, pairs), Layout("tokens", False, None, None))
    layers, inside = Stock(folder, pretrained.tokenizer).tokens(texts, pairs)
    expected = layers.transpose(1, 2)[inside]
    np.testing.assert_allclose(stored.states, expected.numpy(), rtol=1e-4, atol=2e-5)
    assert stored.units.tolist() == stored.lengths.tolist() == inside.sum(1).tolist()


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_segments_of_jointly_encoded_pairs(
    kind: str, make_encoder: Callable[..., Path], sentences: Callable[..., list[str]], write: Callable
) -> None:
    folder = make_encoder(kind)
    pretrained = load_pretrained(folder)
    texts, pairs = sentences(70, seed=1), sentences(70, seed=2)
    stored = write(pretrained, examples_of(texts, pairs), Layout("segments", False, None, None))
    layers, _ = Stock(folder, pretrained.tokenizer).tokens(texts, pairs)
    lengths = [(len(first.split()), len(second.split())) for first, second in zip(texts, pairs, strict=True)]
    between = 1 if kind == "bert" else 2
    expected = torch.cat(
        [
            part.transpose(0, 1)
            for row, (first, second) in enumerate(lengths)
            for part in (
                layers[row, :, 1 : 1 + first],
                layers[row, :, 1 + first + between : 1 + first + between + second],
            )
        ]
    )
    np.testing.assert_allclose(stored.states, expected.numpy(), rtol=1e-4, atol=2e-5)
    assert stored.units.tolist() == [length for pair in lengths for length in pair]


@pytest.mark.parametrize("pieces", ["first", "mean"])
def test_words(
    pieces: str, make_encoder: Callable[..., Path], sentences: Callable[..., list[str]], write: Callable
) -> None:
    """Every third word has three pieces."""
    folder = make_encoder("bert")
    pretrained = load_pretrained(folder)
    split = [sentence.split() for sentence in sentences(70, seed=3)]
    split = [[f"{word}.w5" if k % 3 == 2 else word for k, word in enumerate(words)] for words in split]
    stored = write(pretrained, words_of([" ".join(words) for words in split]), Layout("words", False, pieces, None))
    layers, _ = Stock(folder, pretrained.tokenizer).tokens([" ".join(words) for words in split], None)
    expected = []
    for row, words in enumerate(split):
        place = 1
        for word in words:
            count = 3 if "." in word else 1
            own = layers[row, :, place : place + count]
            expected.append(own[:, 0] if pieces == "first" else own.mean(1))
            place += count
    np.testing.assert_allclose(stored.states, torch.stack(expected).numpy(), rtol=1e-4, atol=2e-5)
    assert stored.units.tolist() == [len(words) for words in split]


def test_words_that_were_cut_have_no_states(load: Callable[..., Pretrained], write: Callable) -> None:
    examples = words_of(["w1 w2 w3 w4", "w5"])
    stored = write(load(), examples, Layout("words", False, "first", None), max_length=5)
    assert stored.units.tolist() == [3, 1]
    assert stored.lengths.tolist() == [5, 3]
    assert len(stored.states) == 4


@pytest.mark.parametrize("pooled", [None, "mean"])
def test_elmo(
    pooled: Any, make_elmo: Callable[..., Path], sentences: Callable[..., list[str]], write: Callable
) -> None:
    """Against each sentence encoded by itself."""
    model = load_pretrained_elmo(make_elmo())
    texts = sentences(70, seed=4)
    layout = Layout("tokens", False, None, "mean") if pooled else Layout("words", False, "first", None)
    stored = write(model, examples_of(texts) if pooled else words_of(texts), layout)
    with torch.no_grad():
        alone = [torch.stack(model.encoder(read_words([text.split()], model.characters))) for text in texts]
    expected = torch.stack([one.mean(1) for one in alone]) if pooled else torch.cat(alone, dim=1).transpose(0, 1)
    np.testing.assert_allclose(stored.states, expected.numpy(), rtol=1e-4, atol=2e-5)
    assert stored.lengths.tolist() == [len(text.split()) for text in texts]


def test_the_encoders_dropout_is_off(
    load: Callable[..., Pretrained], sentences: Callable[..., list[str]], write: Callable
) -> None:
    pretrained = load(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)
    first, again = (np.array(write(pretrained, examples_of(sentences(10)), MEAN).states) for _ in range(2))
    assert np.array_equal(first, again)


@pytest.mark.parametrize("layout", [MEAN, WORDS], ids=lambda layout: layout.name)
def test_what_is_computed_in_bfloat16(
    layout: Layout, load: Callable[..., Pretrained], sentences: Callable[..., list[str]], write: Callable
) -> None:
    """Stored in float32 when pooled, of words in float16. Stated tolerance: mean error below 2 % of the deviation."""
    examples = words_of(sentences(20)) if layout == WORDS else examples_of(sentences(20))
    exact = np.array(write(load(), examples, layout).states)
    rough = write(load(), examples, layout, precision="bfloat16").states
    assert rough.dtype == (np.float16 if layout == WORDS else np.float32)
    error = np.abs(rough.astype(np.float32) - exact)
    assert 0 < error[:, 1:].mean() < 0.02 * exact.std()


def states_of(value: float) -> Callable[..., list[Tensor]]:
    """An encoder that gives the same states everywhere, but for one value."""

    def encode(batch: Any) -> list[Tensor]:
        states = torch.zeros(batch.tokens, 32)
        states[1, 3] = value
        return [states] * 4

    return encode


@pytest.mark.parametrize("value", [7e4, -7e4])
def test_a_state_that_float16_cannot_hold_is_refused(
    value: float, load: Callable[..., Pretrained], tmp_path: Path
) -> None:
    examples = units_of(load(), words_of(["w1 w2"]), WORDS, 64)
    settings: dict[str, Any] = {"pooling": None, "width": 32, "layers": 3, "device": CPU, "progress_seconds": 1e9}
    with pytest.raises(UserError, match=r"train\.npy: a state is 70000, more than float16 holds"):
        write_states(tmp_path, "train", states_of(value), examples, precision="bfloat16", **settings)
    assert not list(tmp_path.iterdir())
    write_states(tmp_path, "train", states_of(value), examples, precision="float32", **settings)
    assert storage.read_split(tmp_path, "train").states[0, 2, 3] == value


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_states_of_a_diverged_training_stay_what_they_are(
    value: float, load: Callable[..., Pretrained], tmp_path: Path
) -> None:
    examples = units_of(load(), words_of(["w1 w2"]), WORDS, 64)
    settings: dict[str, Any] = {"pooling": None, "width": 32, "layers": 3, "device": CPU, "progress_seconds": 1e9}
    write_states(tmp_path, "train", states_of(value), examples, precision="bfloat16", **settings)
    assert np.isfinite(storage.read_split(tmp_path, "train").states).mean() == 1 - 1 / 64


def test_says_how_it_gets_on(
    load: Callable[..., Pretrained],
    sentences: Callable[..., list[str]],
    write: Callable,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pretrained = load()
    capsys.readouterr()
    stored = write(pretrained, examples_of(sentences(70)), MEAN, progress_seconds=0.0)
    lines = capsys.readouterr().out.splitlines()
    total = int(stored.lengths.sum())
    assert len(lines) == 2
    assert f"encoded {total:,} of {total:,} tokens" in lines[-1]


# --- heads on stored states are heads on the frozen encoder ------------------------------------------------


class Live:
    """Examples that a frozen stock encoder encodes anew for each batch."""

    def __init__(self, stock: Stock, examples: Examples, layer: int | None):
        self.stock, self.examples, self.layer = stock, examples, layer
        self.targets = torch.from_numpy(examples.labels)

    def units(self, rows: Tensor) -> Tensor:
        return torch.ones_like(rows)

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        return self.targets[rows].to(device)

    def __len__(self) -> int:
        return len(self.examples)

    def sizes(self) -> Tensor:
        # As if all were equally long: the loop of fine-tuning sorts a batch by length, that of heads does not.
        return torch.ones(len(self.examples), dtype=torch.int64)

    def batch(self, rows: Tensor, device: torch.device) -> Tensor:
        states = self.stock.states([self.examples.texts[row] for row in rows], None, "mean")
        return states if self.layer is None else states[:, self.layer]


class LiveHead(Trainable):
    """A head that is trained alone."""

    def __init__(self, head: nn.Module):
        super().__init__()
        self.head = head

    def forward(self, batch: Tensor) -> Tensor:
        scores: Tensor = self.head(batch)
        return scores


@pytest.mark.parametrize("head", ["linear", "scalar_mix_mlp"])
def test_a_head_on_stored_states_equals_one_on_the_live_encoder(
    head: str,
    make_encoder: Callable[..., Path],
    sentences: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    write: Callable,
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
    states = {split: np.array(write(pretrained, part, MEAN).states) for split, part in splits.items()}
    task = Task.model_validate({"type": "sequence_classification", "files": {"train": "train.csv"}})
    data = FeatureData(
        task,
        3,
        splits,
        states,
        {split: np.ones(len(part), dtype=np.int64) for split, part in splits.items()},
        truncated=dict.fromkeys(("train", "validation", "test"), 0),
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
    network = LiveHead(module)
    fitted = fit(network, live, recipe, 2, device=CPU, precision="float32", observer=Unwatched())
    expected = predict(network, Live(stock, splits["test"], layer), CPU, "float32")

    assert stored.fitted.tokens == fitted.tokens
    np.testing.assert_allclose(stored.splits["test"].outputs, expected, rtol=1e-3, atol=1e-4)

"""Heads on stored states of all units: they read what direct encoding gives, of the right layers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from word_toys import FEW, SEGMENTS, SEPARATE, SIZES, WORDS, assert_learnt, toy

from transfer_atlas.layout import Layout
from transfer_atlas.models.elmo.pretrained import PretrainedElmo
from transfer_atlas.models.encoder import Pretrained, depths
from transfer_atlas.models.loading import frozen_encoder
from transfer_atlas.models.network import HeadNetwork, Network
from transfer_atlas.models.sequences import Sequences
from transfer_atlas.settings import Engine, Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import sequence_heads
from transfer_atlas.training.head_choice import head_for
from transfer_atlas.training.loop import fit, predict
from transfer_atlas.training.sequence_heads import StoredUnits
from transfer_atlas.training.task_data import TaskData

CPU = torch.device("cpu")


@pytest.mark.parametrize("head", ["esim", "bi_attention"])
@pytest.mark.parametrize("layout", [SEGMENTS, SEPARATE], ids=lambda layout: layout.name)
def test_pairs_of_texts(
    layout: Layout,
    head: str,
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    state_data: Callable,
    tune_sequence_head: Callable,
) -> None:
    data = toy("pairs", pretrained, layout, sizes={**SIZES, "train": 192})
    settings = {"method": "extract", "head": head, "hidden": 16, "learning_rate": 0.03, "epochs": 12}
    assert_learnt(tune_sequence_head(state_data(data), recipe(batch_size=16, **settings)), data, least=0.9)


@pytest.mark.parametrize("head", ["esim", "bi_attention"])
def test_scores_of_pairs_are_learnt_on_any_scale(
    head: str, pretrained: Pretrained, recipe: Callable[..., Recipe], state_data: Callable, tune_sequence_head: Callable
) -> None:
    """Four times the scores give four times the predictions, bit for bit."""
    chosen = recipe(
        method="extract", head=head, hidden=16, learning_rate=0.01, epochs=8, batch_size=16, head_dropout=0.1
    )
    found = []
    for factor in (1.0, 4.0):
        data = toy("graded", pretrained, SEGMENTS, factor=factor)
        found.append(tune_sequence_head(state_data(data), chosen))
    assert_learnt(found[0], data, least=0.9)
    assert np.array_equal(4.0 * found[0].splits["test"].outputs, found[1].splits["test"].outputs)


# --- what is read of what is stored ------------------------------------------------------------------------

LAYOUTS = [("parity", WORDS), ("parity", Layout("words", False, "mean", None)), ("arcs", WORDS)]
LAYOUTS += [("pairs", layout) for layout in (Layout("tokens", False, None, None), SEGMENTS, SEPARATE)]
LAYOUTS += [("pairs", Layout("classification", separate, None, None)) for separate in (False, True)]


def direct(data: TaskData, model: Pretrained | PretrainedElmo, split: str, rows: list[int]) -> Sequences:
    """States of all layers, encoded now."""
    batch = data.units[split].batch(torch.tensor(rows), CPU)
    with torch.no_grad():
        return batch.units.read(frozen_encoder(model, Engine(), CPU)[1](batch.inputs))


def assert_read(stored: StoredUnits, data: TaskData, model: Pretrained | PretrainedElmo, rows: list[int]) -> None:
    found, expected = stored.batch(torch.tensor(rows), CPU), direct(data, model, "train", rows)
    torch.testing.assert_close(found.states, expected.states, rtol=1e-4, atol=1e-5)
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert (found.spans is None) == (expected.spans is None)
    assert found.spans is None or torch.equal(found.spans, expected.spans)


@pytest.mark.parametrize(("name", "layout"), LAYOUTS, ids=str)
def test_stored_states_are_those_of_direct_encoding(
    name: str, layout: Layout, pretrained: Pretrained, state_data: Callable
) -> None:
    """Some sentences are cut, and rows are asked for in any order."""
    data = toy(name, pretrained, layout, max_length=9)
    stored = state_data(data).units["train"]
    assert len(stored) == SIZES["train"]
    assert_read(stored, data, pretrained, [7, 0, 95, 31])
    rows = torch.tensor([5, 2])
    chosen = stored.take(np.array([90, 4, 41, 8, 3, 77]))
    assert chosen.sizes()[rows].tolist() == data.units["train"].sizes()[[77, 41]].tolist()
    assert chosen.units(rows).tolist() == data.units["train"].units(torch.tensor([77, 41])).tolist()
    assert torch.equal(chosen.targets_of(rows, CPU), data.units["train"].targets_of(torch.tensor([77, 41]), CPU))
    assert torch.equal(chosen.batch(rows, CPU).states, stored.batch(torch.tensor([77, 41]), CPU).states)


@pytest.mark.parametrize(("name", "layout"), [("parity", WORDS), ("pairs", SEPARATE)])
def test_stored_states_of_elmo(name: str, layout: Layout, elmo: PretrainedElmo, state_data: Callable) -> None:
    data = toy(name, elmo, layout, max_length=4)
    assert_read(state_data(data, elmo).units["train"], data, elmo, [9, 1, 44])


def test_one_layer_is_that_layer(pretrained: Pretrained, state_data: Callable) -> None:
    stored = state_data(toy("parity", pretrained)).units["train"]
    rows = torch.tensor([3, 1])
    everything = stored.batch(rows, CPU).states
    assert everything.shape[0] == 4
    for layer in range(4):
        found = replace(stored, layer=layer).batch(rows, CPU).states
        assert torch.equal(found, everything[layer : layer + 1])


class Spy(HeadNetwork):
    """Remembers the states that its head was given."""

    seen: ClassVar[list[Sequences]] = []

    def forward(self, batch: Sequences) -> torch.Tensor:
        self.seen.append(batch)
        return super().forward(batch)


@pytest.mark.parametrize(
    ("name", "layout", "head", "layer", "layers"),
    [
        ("marked", WORDS, "linear", "last", [3]),
        ("marked", WORDS, "linear", 0, [0]),
        ("arcs", WORDS, "linear", 2, [2]),
        ("marked", WORDS, "crf", "last", [0, 1, 2, 3]),
        ("pairs", SEPARATE, "bi_attention", "last", [0, 1, 2, 3]),
        ("marked", WORDS, "scalar_mix_linear", "last", [0, 1, 2, 3]),
        ("marked", WORDS, "bilstm", "last", [0, 1, 2, 3]),
        ("marked", WORDS, "bilstm_crf", "last", [0, 1, 2, 3]),
        ("pairs", SEPARATE, "bcn", "last", [0, 1, 2, 3]),
        ("pairs", SEPARATE, "esim", "last", [0, 1, 2, 3]),
    ],
)
def test_each_head_reads_its_layers(
    name: str,
    layout: Layout,
    head: str,
    layer: Any,
    layers: list[int],
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    state_data: Callable,
    tune_sequence_head: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last batch that is predicted is one of test, in order of length."""
    data = toy(name, pretrained, layout, sizes=FEW)
    monkeypatch.setattr(sequence_heads, "HeadNetwork", Spy)
    monkeypatch.setattr(Spy, "seen", [])
    tune_sequence_head(state_data(data), recipe(method="extract", head=head, layer=layer, hidden=8, epochs=1))
    rows = torch.argsort(data.units["test"].sizes(), stable=True).tolist()
    expected = direct(data, pretrained, "test", rows).states[layers]
    torch.testing.assert_close(Spy.seen[-1].states, expected, rtol=1e-4, atol=1e-5)


def test_train_sizes_are_nested(
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    state_data: Callable,
    tune_sequence_head: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a run of few examples trains on is what `nested_subset` chooses for its seed, and part of a larger one."""
    data = state_data(toy("parity", pretrained))
    seen: list[set[int]] = []

    take = StoredUnits.take

    def remember(stored: StoredUnits, rows: np.ndarray) -> StoredUnits:
        if stored.tokens is data.units["train"].tokens:
            seen.append(set(rows.tolist()))
        return take(stored, rows)

    monkeypatch.setattr(StoredUnits, "take", remember)
    for size in (10, 30):
        trained = tune_sequence_head(data, recipe(method="extract", epochs=1), size=size, seed=4)
        assert trained.n_train == size
        assert seen[-1] == set(nested_subset(SIZES["train"], size, 4).tolist())
    assert seen[0] < seen[1]


def test_a_head_on_stored_states_is_the_head_on_a_frozen_encoder(
    pretrained: Pretrained, recipe: Callable[..., Recipe], state_data: Callable, tune_sequence_head: Callable
) -> None:
    data = toy("marked", pretrained, sizes=FEW)
    chosen = recipe(method="extract", head="crf", head_dropout=0.2, learning_rate=0.02)
    stored = tune_sequence_head(state_data(data), chosen, seed=2)

    init = torch.Generator().manual_seed(stream_seed(2, "init"))
    head = head_for(chosen, data, 1, 32, init)
    # Freezing it must not freeze what other tests train.
    own = replace(pretrained, encoder=copy.deepcopy(pretrained.encoder))
    encode = frozen_encoder(own, Engine(), CPU)[1]
    network = Network(own.encoder, head, True, encode, depths(own.encoder), [own.encoder])
    train = data.units["train"].take(nested_subset(12, "all", 2))
    fitted = fit(network, train, chosen, 2, device=CPU, precision="float32", observer=Unwatched())
    assert stored.fitted.tokens == fitted.tokens
    assert np.array_equal(predict(network, data.units["test"], CPU, "float32"), stored.splits["test"].outputs)


class Unwatched:
    """An observer that does nothing."""

    def start(self, total_steps: int) -> None:
        return None

    def step(self, *_: Any) -> None: ...

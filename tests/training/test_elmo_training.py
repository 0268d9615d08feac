"""ELMo fine-tuned: learns, resumes, starts from finished runs, and freezes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from word_toys import FEW, SEPARATE, SIZES, WORDS, assert_learnt, toy

from transfer_atlas.layout import Layout
from transfer_atlas.models.dropout import give_stream
from transfer_atlas.models.elmo.pretrained import PretrainedElmo
from transfer_atlas.settings import Recipe
from transfer_atlas.training.starts import ElmoStarts


@pytest.mark.parametrize(
    ("name", "layout", "changes"),
    [
        ("parity", WORDS, {"head": "linear", "learning_rate": 0.01}),
        ("marked", WORDS, {"head": "crf", "learning_rate": 0.01}),
        ("arcs", WORDS, {"head": "linear", "epochs": 12, "batch_size": 8}),
        ("pairs", SEPARATE, {"head": "bi_attention", "epochs": 14, "batch_size": 8}),
    ],
)
def test_elmo(
    name: str,
    layout: Layout,
    changes: dict[str, Any],
    elmo: PretrainedElmo,
    recipe: Callable[..., Recipe],
    tune_elmo: Callable,
) -> None:
    data = toy(name, elmo, layout, sizes={**SIZES, "train": 160})
    settings = {"learning_rate": 3e-3, "epochs": 16, "batch_size": 16, **changes}
    assert_learnt(tune_elmo(data, recipe(**settings)), data, least=0.9)


@pytest.mark.parametrize(
    ("name", "layout", "changes"),
    [
        ("marked", WORDS, {"head": "crf", "unfreeze_epochs": 1, "layer_decay": 0.5, "epochs": 4, "batch_size": 6}),
        ("pairs", SEPARATE, {"head": "bi_attention", "select": "best", "frozen_layers": 1, "batch_size": 6}),
    ],
)
def test_elmo_resumes(
    name: str,
    layout: Layout,
    changes: dict[str, Any],
    elmo: PretrainedElmo,
    recipe: Callable[..., Recipe],
    tune_elmo: Callable,
    assert_resumes: Callable,
) -> None:
    assert_resumes(partial(tune_elmo, toy(name, elmo, layout, sizes=FEW), recipe(drop=0.2, **changes)))


def test_elmo_goes_on_from_a_finished_run(
    elmo: PretrainedElmo, recipe: Callable[..., Recipe], tune_elmo: Callable, tmp_path: Path, assert_same_bits: Callable
) -> None:
    data, file = toy("parity", elmo, sizes=FEW), tmp_path / "weights.safetensors"
    first = tune_elmo(data, recipe(learning_rate=0.01))
    save_file(first.weights, file)
    stored = file.read_bytes()

    other = toy("marked", elmo, sizes=FEW)
    chosen = recipe(head="crf", drop=0.1)
    begun = ElmoStarts(elmo, other).begin(file, np.arange(12), chosen, torch.device("cpu"), "float32")
    for name, weight in begun.encoder.state_dict().items():
        assert torch.equal(weight, first.weights[f"encoder.{name}"]), name

    second = tune_elmo(other, chosen, start=file)
    assert file.read_bytes() == stored
    assert_same_bits(second, tune_elmo(other, chosen, start=file))
    name = "encoder.tokens.embedding.weight"
    assert not torch.equal(second.weights[name], tune_elmo(other, chosen).weights[name])


def test_layers_of_elmo_that_are_frozen_run_without_dropout(
    elmo: PretrainedElmo, recipe: Callable[..., Recipe]
) -> None:
    data = toy("parity", elmo, sizes=FEW)
    states = []
    for _ in range(2):
        begun = ElmoStarts(elmo, data).begin(
            None, np.arange(12), recipe(drop=0.5, frozen_layers=1), torch.device("cpu"), "float32"
        )
        network = begun.network(torch.nn.Identity())
        network.train()
        give_stream(network, torch.Generator().manual_seed(len(states)))
        states.append(begun.encoder(begun.train.batch(torch.arange(12), torch.device("cpu")).inputs))
    assert torch.equal(states[0][1], states[1][1])
    assert not torch.equal(states[0][2], states[1][2])


def test_frozen_parts_of_elmo_keep_their_weights(
    elmo: PretrainedElmo, recipe: Callable[..., Recipe], tune_elmo: Callable
) -> None:
    data = toy("parity", elmo, sizes=FEW)
    trained = tune_elmo(data, recipe(learning_rate=0.01, frozen_layers=1, weight_decay=1.0))
    for name, before in elmo.encoder.state_dict().items():
        same = torch.equal(before, trained.weights[f"encoder.{name}"])
        assert same == (not name.startswith("bilm.layers.1.")), name

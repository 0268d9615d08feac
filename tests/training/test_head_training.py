from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.settings import Recipe
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training.head_training import FeatureData

LINEAR: dict[str, Any] = {"method": "extract", "learning_rate": 0.01}
MIX: dict[str, Any] = {**LINEAR, "head": "scalar_mix_mlp", "hidden": 8}


@pytest.mark.parametrize(("layer", "index"), [("last", 3), (0, 0), (2, 2)])
def test_a_linear_head_is_logistic_regression_on_one_layer(
    layer: Any, index: int, feature_data: Callable[..., FeatureData], recipe: Callable[..., Recipe], tune_head: Callable
) -> None:
    data = feature_data()
    found = tune_head(data, recipe(**LINEAR, layer=layer, warmup=0.0, schedule="constant", clip=None))

    head = LinearHead(16, 3, 0.0, torch.Generator().manual_seed(stream_seed(1, "init"))).output
    rows = nested_subset(12, "all", 1)
    states = torch.from_numpy(data.states["train"][rows, index])
    labels = torch.from_numpy(data.splits["train"].labels[rows])
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.01, weight_decay=0.0)
    order = torch.Generator().manual_seed(stream_seed(1, "order"))
    for _ in range(3):
        for batch in torch.randperm(12, generator=order).split(5):
            optimiser.zero_grad()
            nn.functional.cross_entropy(head(states[batch]), labels[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        expected = head(torch.from_numpy(data.states["test"][:, index])).numpy()
    np.testing.assert_allclose(found.splits["test"].outputs, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["sequence_classification", "pair_regression"])
@pytest.mark.parametrize("settings", [LINEAR, MIX], ids=["linear", "scalar mix"])
def test_repeated_bit_by_bit(
    settings: dict[str, Any],
    kind: str,
    feature_data: Callable,
    recipe: Callable,
    tune_head: Callable,
    assert_same_bits: Callable,
) -> None:
    data, chosen = feature_data(kind), recipe(**settings, select="best")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = tune_head(data, chosen)
        torch.manual_seed(2)
        tune_head(data, chosen, seed=7)
        assert_same_bits(first, tune_head(data, chosen))
    assert first.splits["test"].outputs.shape == (7, 1 if kind == "pair_regression" else 3)


def test_the_scalar_mix_reads_every_layer(feature_data: Callable, recipe: Callable, tune_head: Callable) -> None:
    data, chosen = feature_data(), recipe(**MIX)
    plain = tune_head(data, chosen).splits["test"].outputs
    for layer in range(4):
        states = {name: values.copy() for name, values in data.states.items()}
        states["test"][:, layer] += 1.0
        changed = FeatureData(data.task, data.classes, data.splits, states, data.lengths, data.truncated)
        assert not np.allclose(tune_head(changed, chosen).splits["test"].outputs, plain), layer


def test_global_generator_stays_as_it_is(feature_data: Callable, recipe: Callable, tune_head: Callable) -> None:
    data = feature_data()
    before = torch.get_rng_state()
    for settings in (LINEAR, MIX):
        tune_head(data, recipe(**{**settings, "head_dropout": 0.3}))
    assert torch.equal(torch.get_rng_state(), before)


def test_subset_and_cost(feature_data: Callable, recipe: Callable, tune_head: Callable) -> None:
    data = feature_data()
    trained = tune_head(data, recipe(**LINEAR), size=7)
    assert trained.n_train == 7
    assert trained.fitted.steps == 6
    assert trained.fitted.tokens == 3 * int(data.lengths["train"][nested_subset(12, 7, 1)].sum())


def test_features_may_be_memory_mapped(
    feature_data: Callable, recipe: Callable, tune_head: Callable, tmp_path: Any, assert_same_bits: Callable
) -> None:
    data = feature_data()
    mapped = {}
    for name, states in data.states.items():
        np.save(tmp_path / f"{name}.npy", states)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    from_disk = FeatureData(data.task, data.classes, data.splits, mapped, data.lengths, data.truncated)
    assert_same_bits(tune_head(data, recipe(**MIX)), tune_head(from_disk, recipe(**MIX)))

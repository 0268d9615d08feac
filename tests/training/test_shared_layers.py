"""Runs of an encoder whose layers share their weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.settings import Engine

LAYER = "encoder.encoder.albert_layer_groups.0.albert_layers.0."
CPU = torch.device("cpu")
# No gradient reaches these but for rounding: softmax does not see what all keys share.
IDLE = "key.bias"


@pytest.fixture(scope="module")
def albert(load: Callable[..., Pretrained]) -> Pretrained:
    return load("albert", embedding_size=24)


def moved(weights: dict[str, Tensor], albert: Pretrained) -> set[str]:
    """The encoder's weights that training has changed."""
    before = {f"encoder.{name}": value for name, value in albert.encoder.state_dict().items()}
    assert before.keys() <= weights.keys()
    return {name for name, value in before.items() if not torch.equal(weights[name], value)}


def test_fine_tuning_trains_everything(
    albert: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, watch: Callable
) -> None:
    observer = watch()
    data = task_data("pair_classification", encoder=albert)
    weights = tune(data, recipe(drop=0.1), encoder=albert, observer=observer).weights
    parameters = {f"encoder.{name}" for name, _ in albert.encoder.named_parameters()}
    assert {name for name in parameters - moved(weights, albert) if not name.endswith(IDLE)} == set()
    assert weights["encoder.embeddings.word_embeddings.weight"].shape == (95, 24)
    assert observer.losses[-1] != observer.losses[0]


@pytest.mark.parametrize(
    "engine", [Engine(batching="padded"), Engine(vocabulary="full"), Engine(frozen="recomputed")], ids=repr
)
def test_engines_agree(
    engine: Engine, albert: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    data, chosen = task_data(encoder=albert), recipe(frozen_layers=0)
    expected, found = (tune(data, chosen, encoder=albert, engine=way) for way in (Engine(), engine))
    for split in ("validation", "test"):
        np.testing.assert_allclose(found.splits[split].outputs, expected.splits[split].outputs, atol=1e-3)
    for name, value in expected.weights.items():
        if not name.endswith(IDLE):
            torch.testing.assert_close(found.weights[name], value, rtol=0, atol=1e-3, msg=name)


@pytest.mark.parametrize("frozen", [0, 3])
def test_layers_are_frozen_all_or_none(
    frozen: int, albert: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    weights = tune(task_data(encoder=albert), recipe(frozen_layers=frozen), encoder=albert).weights
    of_layer = {f"encoder.{name}" for name in albert.encoder.state_dict() if f"encoder.{name}".startswith(LAYER)}
    found = {name for name in moved(weights, albert) if not name.endswith(IDLE)}
    assert found == ({name for name in of_layer if not name.endswith(IDLE)} if frozen == 0 else set())


def test_layers_cannot_be_frozen_in_part(
    albert: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    with pytest.raises(ValueError, match="cannot freeze 1 of 3"):
        tune(task_data(encoder=albert), recipe(frozen_layers=1), encoder=albert)


def test_gradual_unfreezing_trains_the_layers_from_the_first_epoch_on(
    albert: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    """After the head, what is used by the highest layer comes first."""
    chosen = recipe(unfreeze_epochs=1, epochs=2, weight_decay=1.0)
    found = moved(tune(task_data(encoder=albert), chosen, encoder=albert).weights, albert)
    assert found and all(name.startswith(LAYER) for name in found)


def test_an_interrupted_run_ends_in_the_same_bits(
    albert: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, assert_resumes: Callable
) -> None:
    data, chosen = task_data(encoder=albert), recipe(drop=0.2)
    assert_resumes(lambda **options: tune(data, chosen, encoder=albert, **options))


def test_features_of_every_layer(albert: Pretrained, task_data: Callable, state_data: Callable) -> None:
    data = task_data(encoder=albert)
    stored = state_data(data, albert).units["test"].states
    units = data.units["test"].tokens
    layers = encoding_of(albert.encoder.eval(), Engine())(units.batch(torch.arange(len(units)), CPU))
    assert stored.shape == (sum(units.lengths.tolist()), 4, 32)
    np.testing.assert_allclose(stored, torch.stack(layers, dim=1).detach().numpy(), atol=1e-5)

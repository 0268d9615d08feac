from __future__ import annotations

import copy
import re
from collections.abc import Callable
from itertools import product

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.surgery import progressive, reinitialise_layer

Load = Callable[..., Pretrained]
LAYERS, RANGE = 3, 0.15


@pytest.fixture(scope="module")
def encoder(load: Load) -> nn.Module:
    return load().encoder


def operated(encoder: nn.Module, keep: int, init: str, biases: str, layer_norm: str, seed: int = 1) -> nn.Module:
    changed = copy.deepcopy(encoder)
    generator = torch.Generator().manual_seed(seed)
    progressive(changed, keep, init=init, biases=biases, layer_norm=layer_norm, generator=generator)
    return changed


def part(name: str) -> tuple[int | None, str]:
    """Layer of a tensor (None for the embeddings), and whether it is a `weight`, `bias` or of a `layer_norm`."""
    layer = re.match(r"encoder\.layer\.(\d+)\.", name)
    kind = "layer_norm" if "LayerNorm" in name else name.rsplit(".", 1)[1]
    return (int(layer[1]) if layer else None), kind


@pytest.mark.parametrize("keep", range(LAYERS + 1))
@pytest.mark.parametrize(("biases", "layer_norm"), [*product(["keep", "reset"], repeat=2)])
@pytest.mark.parametrize("init", ["truncated_normal", "authors_code", "model_default"])
def test_exactly_the_intended_tensors_change(
    init: str, biases: str, layer_norm: str, keep: int, encoder: nn.Module
) -> None:
    before, after = encoder.state_dict(), operated(encoder, keep, init, biases, layer_norm).state_dict()
    intended = {"weight"} | ({"bias"} if biases == "reset" else set())
    intended |= {"layer_norm"} if layer_norm == "reset" else set()
    assert before.keys() == after.keys()
    for name in before:
        layer, kind = part(name)
        changes = layer is not None and layer >= keep and kind in intended
        assert torch.equal(before[name], after[name]) != changes, name


def test_reset_values(encoder: nn.Module) -> None:
    for name, value in operated(encoder, 0, "truncated_normal", "reset", "reset").state_dict().items():
        layer, kind = part(name)
        if layer is not None and kind == "bias":
            assert not value.any(), name
        if layer is not None and kind == "layer_norm":
            assert torch.all(value == (1.0 if name.endswith("weight") else 0.0)), name


def drawn(load: Load, init: str) -> Tensor:
    """All redrawn weights of a wider encoder."""
    wide = load(hidden_size=128, intermediate_size=256).encoder
    state = operated(wide, 0, init, "reset", "reset").state_dict()
    layers = {name: value for name, value in state.items() if part(name)[0] is not None and part(name)[1] == "weight"}
    assert len(layers) == 6 * LAYERS
    return torch.cat([value.flatten() for value in layers.values()]).double()


@pytest.mark.parametrize(
    ("init", "deviation", "bound"),
    [
        # 0.02 times the deviation of a standard normal cut at two deviations, and at 0.04.
        ("truncated_normal", 0.02 * stats.truncnorm.std(-2, 2), 0.04),
        ("authors_code", 0.02 * stats.truncnorm.std(-0.04, 0.04), 0.0008),
        ("model_default", RANGE, 7 * RANGE),
    ],
)
def test_distribution_of_new_weights(init: str, deviation: float, bound: float, load: Load) -> None:
    values = drawn(load, init)
    assert float(values.mean()) == pytest.approx(0.0, abs=5 * deviation / len(values) ** 0.5)
    assert float(values.std()) == pytest.approx(deviation, rel=0.01)
    assert float(values.abs().max()) <= bound * (1 + 1e-6)
    if init != "model_default":
        assert float(values.abs().max()) > 0.99 * bound
    edge = bound / 0.02
    exact = stats.norm(0, RANGE) if init == "model_default" else stats.truncnorm(-edge, edge, 0, 0.02)
    assert stats.kstest(values[:20_000].numpy(), exact.cdf).pvalue > 1e-3


def test_stated_deviations() -> None:
    assert 0.02 * stats.truncnorm.std(-2, 2) == pytest.approx(0.0176, abs=5e-5)
    assert 0.02 * stats.truncnorm.std(-0.04, 0.04) == pytest.approx(0.00046, abs=5e-6)


@pytest.mark.parametrize("init", ["truncated_normal", "authors_code", "model_default"])
def test_same_seed_same_weights(init: str, encoder: nn.Module) -> None:
    first, again, other = (operated(encoder, 1, init, "reset", "reset", seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "encoder.layer.2.attention.self.query.weight"
    assert not torch.equal(first[name], other[name])


def test_no_two_matrices_are_alike(encoder: nn.Module) -> None:
    state = operated(encoder, 0, "truncated_normal", "reset", "reset").state_dict()
    drawn = [value for name, value in state.items() if part(name)[0] is not None and part(name)[1] == "weight"]
    assert len({float(value[0, 0]) for value in drawn}) == len(drawn)


def test_keeping_all_layers_draws_nothing(encoder: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    progressive(
        copy.deepcopy(encoder),
        LAYERS,
        init="truncated_normal",
        biases="reset",
        layer_norm="reset",
        generator=generator,
    )
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("keep", [-1, LAYERS + 1])
def test_keep_out_of_range(keep: int, encoder: nn.Module) -> None:
    with pytest.raises(ValueError, match=f"cannot keep {keep} of 3 layers"):
        operated(encoder, keep, "truncated_normal", "reset", "reset")


def test_unknown_init(encoder: nn.Module) -> None:
    with pytest.raises(ValueError, match="unknown init"):
        reinitialise_layer(
            copy.deepcopy(encoder),
            init="zeros",
            biases="keep",
            layer_norm="keep",
            initializer_range=0.1,
            generator=torch.Generator(),
        )

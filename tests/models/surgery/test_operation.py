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
from transfer_atlas.models.surgery.distributions import AUTHORS_CODE, INTENDED
from transfer_atlas.models.surgery.operation import operate
from transfer_atlas.settings import Surgery
from transfer_atlas.surgeries import Operation, operation

Load = Callable[..., Pretrained]
LAYERS, RANGE = 3, 0.15


@pytest.fixture(scope="module")
def encoder(load: Load) -> nn.Module:
    return load().encoder


def operated(encoder: nn.Module, keep: int, init: str, biases: str, layer_norm: str, seed: int = 1) -> nn.Module:
    changed = copy.deepcopy(encoder)
    surgery = Surgery.model_validate({"kind": "progressive", "init": init, "biases": biases, "layer_norm": layer_norm})
    operate(changed, operation(surgery, keep, LAYERS), surgery, seed)
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
    assert INTENDED.deviation == pytest.approx(0.0176, abs=5e-5)
    assert AUTHORS_CODE.deviation == pytest.approx(0.00046, abs=5e-6)


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


@pytest.mark.parametrize("init", ["truncated_normal", "authors_code", "model_default"])
def test_new_values_of_a_layer_do_not_depend_on_the_others(init: str, encoder: nn.Module) -> None:
    """Runs of different surgeries then differ by the surgery alone."""
    surgery = Surgery.model_validate({"kind": "single", "init": init})
    alone = copy.deepcopy(encoder)
    operate(alone, Operation((2,)), surgery, seed=1)
    together = operated(encoder, 0, init, "reset", "reset")
    name = "encoder.layer.1.output.dense.weight"
    assert torch.equal(alone.state_dict()[name], together.state_dict()[name])


def test_no_operation_changes_nothing(encoder: nn.Module) -> None:
    before, after = encoder.state_dict(), operated(encoder, LAYERS, "truncated_normal", "reset", "reset").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("order", [(1, 2), (1, 2, 2), (0, 1, 2), (2, 3, 4)])
def test_no_order(order: tuple[int, ...], encoder: nn.Module) -> None:
    with pytest.raises(ValueError, match="is no order of 3 layers"):
        operate(copy.deepcopy(encoder), Operation(order=order), Surgery(kind="permute", permutations=1), seed=1)


def test_no_such_layer(encoder: nn.Module) -> None:
    with pytest.raises(ValueError, match="there is no layer 4 of 3"):
        operate(copy.deepcopy(encoder), Operation((4,)), Surgery(kind="single"), seed=1)


def test_unknown_init(encoder: nn.Module) -> None:
    surgery = Surgery(kind="single").model_copy(update={"init": "zeros"})
    with pytest.raises(ValueError, match="unknown init"):
        operate(copy.deepcopy(encoder), Operation((1,)), surgery, seed=1)


def test_parameters_of_an_unknown_kind_are_not_passed_over(encoder: nn.Module) -> None:
    changed = copy.deepcopy(encoder)
    changed.encoder.layer[1].gate = nn.PReLU()
    with pytest.raises(ValueError, match="PReLU"):
        operate(changed, Operation((2,)), Surgery(kind="single"), seed=1)

"""What every kind of surgery does to every tensor of every architecture.

Which tensors it may touch is written out here by name; layers are counted from 1, as surgeries count them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from transfer_atlas.models.elmo.pretrained import load_pretrained_elmo
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.surgery.operation import operate
from transfer_atlas.settings import Surgery
from transfer_atlas.surgeries import Operation, operation

LAYERS, RANGE, SEED = 4, 0.15, 11
INITS = ("authors_code", "truncated_normal", "model_default")
CHOICES = tuple(product(("keep", "reset"), repeat=2))
EVERY = (1, 2, 3, 4)


def of_linear(*maps: str) -> dict[str, tuple[str, ...]]:
    """Weights and biases of linear maps."""
    return {"weights": tuple(f"{name}.weight" for name in maps), "biases": tuple(f"{name}.bias" for name in maps)}


def of_norms(*norms: str) -> dict[str, tuple[str, ...]]:
    """Gains and biases of LayerNorms."""
    return {"gains": tuple(f"{name}.weight" for name in norms), "shifts": tuple(f"{name}.bias" for name in norms)}


@dataclass(frozen=True)
class Architecture:
    """The tensors of a layer by name, without what all names of layer k begin with: `layer`, filled with k - 1.

    Attributes:
        always: What stays in any layer.
        sizes: Settings of the test's model.
    """

    layer: str
    weights: tuple[str, ...]
    biases: tuple[str, ...]
    gains: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()
    always: tuple[str, ...] = ()
    sizes: tuple[tuple[str, Any], ...] = (
        ("hidden_size", 64),
        ("num_hidden_layers", LAYERS),
        ("num_attention_heads", 4),
        ("intermediate_size", 96),
    )

    def names(self, layers: tuple[int, ...], *parts: str) -> set[str]:
        """Tensors that play these parts in these layers."""
        return {
            f"{self.layer.format(layer - 1)}.{name}" for layer in layers for part in parts for name in vars(self)[part]
        }


BERT = {
    **of_linear(
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
        "intermediate.dense",
        "output.dense",
    ),
    **of_norms("attention.output.LayerNorm", "output.LayerNorm"),
}
ARCHITECTURES = {
    "bert": Architecture("encoder.layer.{}", **BERT),
    "roberta": Architecture("encoder.layer.{}", **BERT),
    "electra": Architecture("encoder.layer.{}", **BERT, sizes=(*Architecture.sizes, ("embedding_size", 24))),
    "mpnet": Architecture(
        "encoder.layer.{}",
        **of_linear(
            "attention.attn.q",
            "attention.attn.k",
            "attention.attn.v",
            "attention.attn.o",
            "intermediate.dense",
            "output.dense",
        ),
        **of_norms("attention.LayerNorm", "output.LayerNorm"),
    ),
    "distilbert": Architecture(
        "transformer.layer.{}",
        **of_linear(
            "attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"
        ),
        **of_norms("sa_layer_norm", "output_layer_norm"),
        sizes=(("dim", 64), ("n_layers", LAYERS), ("n_heads", 4), ("hidden_dim", 96)),
    ),
    "xlnet": Architecture(
        "layer.{}",
        weights=(
            "rel_attn.q",
            "rel_attn.k",
            "rel_attn.v",
            "rel_attn.o",
            "rel_attn.r",
            "ff.layer_1.weight",
            "ff.layer_2.weight",
        ),
        biases=("rel_attn.r_w_bias", "rel_attn.r_r_bias", "rel_attn.r_s_bias", "ff.layer_1.bias", "ff.layer_2.bias"),
        **of_norms("rel_attn.layer_norm", "ff.layer_norm"),
        # An embedding: whether two tokens are of the same text.
        always=("rel_attn.seg_embed",),
        sizes=(("d_model", 64), ("n_layer", LAYERS), ("n_head", 4), ("d_inner", 96)),
    ),
    "elmo": Architecture(
        "bilm.layers.{}",
        weights=("input_weight", "state_weight", "projection"),
        biases=("bias",),
        sizes=(("n_layers", LAYERS), ("dim", 96), ("projection_dim", 64)),
    ),
}
# One layer at all depths.
ALBERT = Architecture(
    "encoder.albert_layer_groups.0.albert_layers.0",
    **of_linear("attention.query", "attention.key", "attention.value", "attention.dense", "ffn", "ffn_output"),
    **of_norms("attention.LayerNorm", "full_layer_layer_norm"),
    sizes=(*Architecture.sizes, ("embedding_size", 24)),
)
ALL = {**ARCHITECTURES, "albert": ALBERT}

# Kind, width, depth, and the layers that are then reinitialised.
CASES: list[tuple[str, int | None, int, tuple[int, ...]]] = [
    ("progressive", None, 0, EVERY),
    ("progressive", None, 1, (2, 3, 4)),
    ("progressive", None, 4, ()),
    ("block", 2, 1, (1, 2)),
    ("block", 2, 3, (3, 4)),
    ("block", 4, 1, EVERY),
    ("preserve", 1, 4, (1, 2, 3)),
    ("preserve", 2, 2, (1, 4)),
    ("single", None, 1, (1,)),
    ("single", None, 3, (3,)),
]
# numpy.random.RandomState(p).permutation(4), counted from 1.
PERMUTATIONS = {1: (4, 3, 1, 2), 2: (3, 4, 2, 1), 4: (1, 2, 4, 3)}


@pytest.fixture(scope="session")
def untouched(load: Callable[..., Pretrained], make_elmo: Callable[..., Path]) -> Callable[[str], nn.Module]:
    """The random encoder of an architecture as it was pretrained; not to be changed."""
    made: dict[str, nn.Module] = {}

    def of(name: str) -> nn.Module:
        if name not in made:
            sizes = dict(ALL[name].sizes)
            found = load_pretrained_elmo(make_elmo(lstm=sizes)) if name == "elmo" else load(name, **sizes)
            made[name] = found.encoder
        return made[name]

    return of


@pytest.fixture(params=ARCHITECTURES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def surgery_of(kind: str, width: int | None = None, **settings: Any) -> Surgery:
    permutations = {"permutations": [*PERMUTATIONS]} if kind == "permute" else {}
    return Surgery.model_validate({"kind": kind, "width": width, **permutations, **settings})


def operated(encoder: nn.Module, surgery: Surgery, depth: int, seed: int = SEED) -> dict[str, Tensor]:
    """All tensors of a copy after the surgery."""
    changed = copy.deepcopy(encoder)
    operate(changed, operation(surgery, depth, LAYERS), surgery, seed)
    return changed.state_dict()


def changed_names(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.mark.parametrize("name", ALL)
def test_every_tensor_of_a_layer_plays_one_part(name: str, untouched: Callable) -> None:
    """Otherwise the lists above would not say what is to happen to it."""
    parts = ("weights", "biases", "gains", "shifts", "always")
    listed = [ALL[name].names((1,) if name == "albert" else EVERY, part) for part in parts]
    inside = ALL[name].layer.partition("{")[0]
    assert set().union(*listed) == {key for key in untouched(name).state_dict() if key.startswith(inside)}
    assert len(set().union(*listed)) == sum(map(len, listed))


# --- which tensors change -----------------------------------------------------------------------------------


def assert_changed(encoder: nn.Module, of: Architecture, case: tuple[str, int | None, int], layers: Any) -> None:
    """With every way of reinitialising, exactly the named parts of the layers change."""
    kind, width, depth = case
    before = encoder.state_dict()
    for init, (biases, layer_norm) in product(INITS, CHOICES):
        after = operated(encoder, surgery_of(kind, width, init=init, biases=biases, layer_norm=layer_norm), depth)
        expected = of.names(layers, "weights")
        expected |= of.names(layers, "biases") if biases == "reset" else set()
        expected |= of.names(layers, "gains", "shifts") if layer_norm == "reset" else set()
        assert changed_names(before, after) == expected, (init, biases, layer_norm)


@pytest.mark.parametrize(("kind", "width", "depth", "layers"), CASES)
def test_exactly_the_intended_tensors_change(
    name: str, kind: str, width: int | None, depth: int, layers: tuple[int, ...], untouched: Callable
) -> None:
    assert_changed(untouched(name), ARCHITECTURES[name], (kind, width, depth), layers)


@pytest.mark.parametrize(("depth", "layers"), [(0, (1,)), (LAYERS, ())])
def test_shared_layers_change_all_or_none(depth: int, layers: tuple[int, ...], untouched: Callable) -> None:
    assert_changed(untouched("albert"), ALBERT, ("progressive", None, depth), layers)


@pytest.mark.parametrize(
    ("chosen", "depth"),
    [
        *((surgery_of("progressive"), depth) for depth in (1, 3)),
        (surgery_of("block", 2), 2),
        (surgery_of("preserve", 2), 2),
        (surgery_of("single"), 1),
        (surgery_of("permute"), 1),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_shared_layers_have_no_other_surgery(chosen: Surgery, depth: int, untouched: Callable) -> None:
    encoder = copy.deepcopy(untouched("albert"))
    with pytest.raises(ValueError, match="share their weights"):
        operate(encoder, operation(chosen, depth, LAYERS), chosen, SEED)
    assert changed_names(untouched("albert").state_dict(), encoder.state_dict()) == set()


@pytest.mark.parametrize("number", PERMUTATIONS)
def test_permuting_moves_whole_layers_and_nothing_else(name: str, number: int, untouched: Callable) -> None:
    order, of = PERMUTATIONS[number], ARCHITECTURES[name]
    before = untouched(name).state_dict()
    after = operated(untouched(name), surgery_of("permute"), number)
    parts = ("weights", "biases", "gains", "shifts", "always")
    moved = tuple(place for place, old in enumerate(order, 1) if place != old)
    assert changed_names(before, after) == of.names(moved, *parts)
    for place, old in enumerate(order, 1):
        for tensor in (tensor for part in parts for tensor in vars(of)[part]):
            here, there = (f"{of.layer.format(layer - 1)}.{tensor}" for layer in (place, old))
            assert torch.equal(after[here], before[there]), here


def test_a_permutation_of_nothing_changes_nothing(name: str, untouched: Callable) -> None:
    encoder = copy.deepcopy(untouched(name))
    operate(encoder, Operation(order=EVERY), surgery_of("permute"), SEED)
    assert changed_names(untouched(name).state_dict(), encoder.state_dict()) == set()


# --- to which values ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_values_of_what_is_reset(name: str, untouched: Callable) -> None:
    of, layers = ALL[name], (1,) if name == "albert" else EVERY
    after = operated(untouched(name), surgery_of("progressive", biases="reset", layer_norm="reset"), 0)
    for key in of.names(layers, "gains"):
        assert torch.equal(after[key], torch.ones_like(after[key])), key
    for key in of.names(layers, "shifts"):
        assert torch.equal(after[key], torch.zeros_like(after[key])), key
    for key in of.names(layers, "biases"):
        expected = torch.zeros_like(after[key])
        if name == "elmo":
            # TensorFlow's 1 in the forget gate, the third of four of 96 cells each.
            expected[:, 192:288] = 1.0
        assert torch.equal(after[key], expected), key


def stated(init: str, name: str, key: str) -> Any:
    """The distribution that the documentation states for the new values of a tensor."""
    if init == "truncated_normal":
        return stats.truncnorm(-2, 2, scale=0.02)
    if init == "authors_code":
        return stats.truncnorm(-0.04, 0.04, scale=0.02)
    if name != "elmo":
        return stats.norm(0, RANGE)
    # Glorot & Bengio 2010, eq. 16: from 96 cells to 64 outputs, or from 64 inputs and 64 states to 4 gates of 96.
    bound = math.sqrt(6 / (96 + 64)) if key.endswith("projection") else math.sqrt(6 / (128 + 384))
    return stats.uniform(-bound, 2 * bound)


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("name", ALL)
def test_distribution_of_what_is_redrawn(name: str, init: str, untouched: Callable) -> None:
    """Of every tensor: mean and deviation within five of their standard errors, values within the bounds."""
    of, layers = ALL[name], (1,) if name == "albert" else EVERY
    after = operated(untouched(name), surgery_of("progressive", init=init), 0)
    for key in of.names(layers, "weights"):
        values, expected = after[key].double().flatten(), stated(init, name, key)
        n, deviation = len(values), float(expected.std())
        assert n >= 64 * 64
        kurtosis = 3.0 + float(expected.stats(moments="k"))
        assert abs(float(values.mean())) < 5 * deviation / math.sqrt(n), key
        error = deviation * math.sqrt((kurtosis - 1.0) / (4.0 * n))
        assert abs(float(values.std()) - deviation) < 5 * error, key
        low, high = expected.support()
        assert low * (1 + 1e-6) <= float(values.min()) and float(values.max()) <= high * (1 + 1e-6), key
        assert stats.kstest(values.numpy(), expected.cdf).pvalue > 1e-5, key


def test_the_stated_deviations_are_the_papers() -> None:
    """Intended: 0.0176; of the released code: 0.00046, 38 times smaller."""
    intended, released = (stats.truncnorm(-bound, bound, scale=0.02).std() for bound in (2, 0.04))
    assert intended == pytest.approx(0.0176, abs=5e-5)
    assert released == pytest.approx(0.00046, abs=5e-6)
    assert intended / released == pytest.approx(38, abs=0.5)


# --- from which stream --------------------------------------------------------------------------------------


@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bits(name: str, init: str, untouched: Callable) -> None:
    of, layers = ALL[name], (1,) if name == "albert" else EVERY
    surgery = surgery_of("progressive", init=init)
    before = torch.get_rng_state()
    first, again, other = (operated(untouched(name), surgery, 0, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert changed_names(first, again) == set()
    assert changed_names(first, other) == of.names(layers, "weights")


def test_new_values_of_a_layer_are_the_same_whatever_else_is_redrawn(name: str, untouched: Callable) -> None:
    third = ARCHITECTURES[name].names((3,), "weights", "biases", "gains", "shifts")
    expected = operated(untouched(name), surgery_of("single"), 3)
    for kind, width, depth, layers in CASES:
        if 3 in layers:
            found = operated(untouched(name), surgery_of(kind, width), depth)
            assert all(torch.equal(found[key], expected[key]) for key in third), (kind, width, depth)


def test_shared_weights_are_drawn_as_the_lowest_layers(load: Callable[..., Pretrained], untouched: Callable) -> None:
    apart = load("albert", num_hidden_groups=LAYERS, **dict(ALBERT.sizes)).encoder
    expected = operated(apart, surgery_of("single"), 1)
    found = operated(untouched("albert"), surgery_of("progressive"), 0)
    assert all(torch.equal(found[key], expected[key]) for key in ALBERT.names((1,), "weights"))


@pytest.mark.parametrize("name", ALL)
def test_new_weights_do_not_depend_on_what_else_is_reset(name: str, untouched: Callable) -> None:
    weights = ALL[name].names((1,) if name == "albert" else EVERY, "weights")
    first, *others = (
        operated(untouched(name), surgery_of("progressive", biases=biases, layer_norm=layer_norm), 0)
        for biases, layer_norm in CHOICES
    )
    assert all(torch.equal(first[key], other[key]) for key in weights for other in others)


def test_no_two_tensors_are_drawn_alike(name: str, untouched: Callable) -> None:
    after = operated(untouched(name), surgery_of("progressive"), 0)
    drawn = [after[key].flatten()[:64] for key in ARCHITECTURES[name].names(EVERY, "weights")]
    assert len(torch.stack(drawn).unique(dim=0)) == len(drawn)
    # And no two places of one.
    assert all(len(part.unique()) > 60 for part in drawn)

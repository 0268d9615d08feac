from __future__ import annotations

import copy
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.settings import Surgery
from transfer_atlas.surgeries import permutation

SURGERY = Surgery(kind="progressive")


def scramble_global_generators(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_repeated_bit_by_bit_whatever_ran_before(
    precision: str,
    kind: str,
    load: Callable,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    assert_same_bits: Callable,
) -> None:
    pretrained = load(kind)
    data, chosen = task_data(encoder=pretrained), recipe(drop=0.2, precision=precision)
    with torch.random.fork_rng(devices=[]):
        scramble_global_generators(1)
        first = tune(data, chosen, encoder=pretrained)
        scramble_global_generators(2)
        other = tune(task_data("pair_regression", pretrained), recipe(dropout=0.5), encoder=pretrained, seed=9)
        assert_same_bits(first, tune(data, chosen, encoder=pretrained))
    assert first.precision == precision
    assert not torch.equal(first.weights["head.output.bias"], other.weights["head.output.bias"][:1].expand(3))


def test_seeds_differ(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    data = task_data()
    first, second = (tune(data, recipe(), seed=seed).weights for seed in (1, 2))
    assert not torch.equal(first["head.output.weight"], second["head.output.weight"])


def test_the_dropout_stream_is_used(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    """Without it everything else is alike: same order, same initial weights."""
    data = task_data()
    name = "encoder.encoder.layer.0.output.dense.weight"
    weights = [
        tune(data, recipe(**options)).weights[name]
        for options in ({}, {"dropout": 0.3}, {"head_dropout": 0.3}, {"dropout": None})
    ]
    for i in range(4):
        for j in range(i):
            assert not torch.equal(weights[i], weights[j]), (i, j)


def test_the_models_own_dropout_is_the_default(
    load: Callable, task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    own = load("bert", hidden_dropout_prob=0.15, attention_probs_dropout_prob=0.15)
    data = task_data(encoder=own)
    assert_same_bits(
        tune(data, recipe(dropout=None), encoder=own),
        tune(data, recipe(dropout=0.15), encoder=own),
    )


def test_global_generators_stay_as_they_are(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    data, chosen = task_data(), recipe(drop=0.2, select="best")
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    tune(data, chosen, surgery=SURGERY, depth=1)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_the_pretrained_encoder_is_left_alone(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    before = copy.deepcopy(pretrained.encoder.state_dict())
    data = task_data()
    tune(data, recipe(dropout=0.4), surgery=SURGERY, depth=0)
    after = pretrained.encoder.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    dropouts = [module for module in pretrained.encoder.modules() if isinstance(module, StreamDropout)]
    assert {module.p for module in dropouts} == {0.1}
    assert all(module.generator is None for module in dropouts)


# --- surgery -----------------------------------------------------------------------------------------------


def test_the_heads_initial_weights_do_not_depend_on_depth(
    task_data: Callable, recipe: Callable, tune: Callable, initial: list[dict[str, Tensor]]
) -> None:
    data = task_data()
    tune(data, recipe())
    for depth in range(4):
        tune(data, recipe(), surgery=SURGERY, depth=depth)
    heads = [state["head.output.weight"] for state in initial]
    assert all(torch.equal(heads[0], head) for head in heads[1:])


def test_layers_above_the_depth_start_anew(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, initial: list[dict[str, Tensor]]
) -> None:
    tune(task_data(), recipe(), surgery=SURGERY, depth=1)
    for name, before in pretrained.encoder.state_dict().items():
        if name != "embeddings.word_embeddings.weight":
            redrawn = name.startswith(("encoder.layer.1.", "encoder.layer.2."))
            assert torch.equal(initial[0][f"encoder.{name}"], before) != redrawn, name


def test_keeping_all_layers_is_no_surgery(
    task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    """The run store counts on it: both have one identity."""
    data = task_data()
    assert_same_bits(tune(data, recipe()), tune(data, recipe(), surgery=SURGERY, depth=3))


def test_reinitialised_layers_learn_at_their_own_rate(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, initial: list[dict[str, Tensor]]
) -> None:
    """A rate of next to nothing leaves these layers, and no others, where they began."""
    still = Surgery(kind="single", rate_factor=1e-9)
    trained = tune(task_data(), recipe(), surgery=still, depth=2)
    for name, value in trained.weights.items():
        before = initial[0][name]
        if "word_embeddings" in name or "position" in name or "token_type" in name or value.shape != before.shape:
            continue
        assert torch.allclose(value, before, atol=1e-8, rtol=0) == name.startswith("encoder.encoder.layer.1."), name


def test_a_rate_factor_of_one_changes_no_bit(
    task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    data, chosen = task_data(), recipe(weight_decay=0.1, layer_decay=0.9)
    plain, five = Surgery(kind="progressive"), Surgery(kind="progressive", rate_factor=5.0)
    assert_same_bits(
        tune(data, chosen, surgery=plain, depth=1), tune(data, chosen, surgery=plain.model_copy(), depth=1)
    )
    first, other = (tune(data, chosen, surgery=entry, depth=1).weights for entry in (plain, five))
    assert not torch.equal(
        first["encoder.encoder.layer.2.output.dense.weight"], other["encoder.encoder.layer.2.output.dense.weight"]
    )


def test_permuted_layers_are_trained(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, initial: list[dict[str, Tensor]]
) -> None:
    tune(task_data(), recipe(), surgery=Surgery(kind="permute", permutations=[3]), depth=3)
    order = permutation(3, 3)
    assert order != (1, 2, 3)
    before = pretrained.encoder.state_dict()
    for name in (name for name in before if name.startswith("encoder.layer.")):
        _, _, place, rest = name.split(".", 3)
        assert torch.equal(initial[0][f"encoder.{name}"], before[f"encoder.layer.{order[int(place)] - 1}.{rest}"]), name

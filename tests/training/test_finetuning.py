from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from transfer_atlas.models.dropout import StreamDropout
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.settings import Surgery
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import fit_and_score
from transfer_atlas.training.targets import Targets
from transfer_atlas.training.task_data import TaskData
from transfer_atlas.training.unit_examples import UnitExamples

SURGERY = Surgery(kind="progressive")


@pytest.fixture
def initial(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Fills with each run's weights before its first update."""
    states: list[dict[str, Tensor]] = []
    fit = fit_and_score.fit

    def spy(model: torch.nn.Module, *arguments: Any, **options: Any) -> Any:
        states.append(copy.deepcopy(model.state_dict()))
        return fit(model, *arguments, **options)

    monkeypatch.setattr(fit_and_score, "fit", spy)
    return states


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
    tune(data, chosen, entry=SURGERY, depth=1)
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_the_pretrained_encoder_is_left_alone(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    before = copy.deepcopy(pretrained.encoder.state_dict())
    data = task_data()
    tune(data, recipe(dropout=0.4), entry=SURGERY, depth=0)
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
        tune(data, recipe(), entry=SURGERY, depth=depth)
    heads = [state["head.output.weight"] for state in initial]
    assert all(torch.equal(heads[0], head) for head in heads[1:])


def test_layers_above_the_depth_start_anew(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, initial: list[dict[str, Tensor]]
) -> None:
    tune(task_data(), recipe(), entry=SURGERY, depth=1)
    for name, before in pretrained.encoder.state_dict().items():
        if name != "embeddings.word_embeddings.weight":
            redrawn = name.startswith(("encoder.layer.1.", "encoder.layer.2."))
            assert torch.equal(initial[0][f"encoder.{name}"], before) != redrawn, name


def test_keeping_all_layers_is_no_surgery(
    task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    """The run store counts on it: both have one identity."""
    data = task_data()
    assert_same_bits(tune(data, recipe()), tune(data, recipe(), entry=SURGERY, depth=3))


def test_a_surgery_needs_a_depth(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    with pytest.raises(AssertionError, match="depth"):
        tune(task_data(), recipe(), entry=SURGERY)


# --- from an intermediate run ------------------------------------------------------------------------------


def test_starts_from_the_encoder_of_an_intermediate_run(
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    initial: list[dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    weights = tune(task_data("pair_classification", classes=2), recipe(), seed=5).weights
    save_file(weights, tmp_path / "model.safetensors")
    data = task_data()
    tune(data, recipe())
    started = tune(data, recipe(), start=tmp_path / "model.safetensors")
    _, plain, after = initial
    words = "encoder.embeddings.word_embeddings.weight"
    used = data.units["train"].tokens.vocabulary()
    assert torch.equal(after[words], weights[words][used])
    for name, weight in weights.items():
        if name.startswith("encoder.") and name != words:
            assert torch.equal(after[name], weight), name
    # The head is a new one, the same as without an intermediate task.
    assert torch.equal(after["head.output.weight"], plain["head.output.weight"])
    # Words that the target task does not use stay as the intermediate task left them.
    unused = torch.ones(len(weights[words]), dtype=torch.bool)
    unused[used] = False
    assert torch.equal(started.weights[words][unused], weights[words][unused])


def test_kept_weights_are_the_whole_model_and_can_be_saved(
    pretrained: Pretrained, task_data: Callable, recipe: Callable, tune: Callable, tmp_path: Path
) -> None:
    weights = tune(task_data(), recipe()).weights
    expected = {f"encoder.{name}": value.shape for name, value in pretrained.encoder.state_dict().items()}
    expected |= {"head.output.weight": (3, 32), "head.output.bias": (3,)}
    assert {name: value.shape for name, value in weights.items()} == expected
    save_file(weights, tmp_path / "w.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in load_file(tmp_path / "w.safetensors").items())


def test_weights_are_kept_only_where_asked(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    assert tune(task_data(), recipe(), keep_weights=False).weights is None


# --- selection ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 10.0])
def test_the_best_epoch_is_what_a_training_of_so_many_epochs_gives(
    decay: float, task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    """At a constant rate a shorter training is the beginning of a longer one."""
    data = task_data()
    constant = {"schedule": "constant", "warmup": 0.0, "learning_rate": 3e-3, "weight_decay": decay, "dropout": 0.2}

    best = tune(data, recipe(select="best", epochs=6, **constant), seed=2)
    epochs = best.fitted.chosen_step // 3

    assert best.fitted.steps == 18
    assert 1 <= epochs < 6, "this test needs a seed whose best epoch is not the last"
    prefix = tune(data, recipe(epochs=epochs, **constant), seed=2)
    assert best.fitted.chosen_step == prefix.fitted.steps
    for split in ("validation", "test"):
        assert np.array_equal(best.splits[split].outputs, prefix.splits[split].outputs)
    assert all(torch.equal(best.weights[name], prefix.weights[name]) for name in prefix.weights)


# --- examples and scores -----------------------------------------------------------------------------------


def test_a_run_of_a_size_trains_on_its_nested_subset(
    task_data: Callable, recipe: Callable, tune: Callable, watch: Callable
) -> None:
    data = task_data()
    seen = watch()
    trained = tune(data, recipe(), size=7, observer=seen)
    rows = nested_subset(12, 7, 1)
    assert trained.n_train == 7
    assert trained.fitted.steps == 6
    assert trained.fitted.tokens == 3 * int(data.units["train"].sizes()[torch.from_numpy(rows)].sum())


def test_predictions_come_with_their_ids_and_labels(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    data = task_data()
    trained = tune(data, recipe())
    assert trained.splits.keys() == {"validation", "test"}
    for name, scored in trained.splits.items():
        assert scored.ids == data.splits[name].ids
        assert np.array_equal(scored.labels, data.splits[name].labels)
        assert scored.outputs.shape == (len(scored.ids), 3)


def test_regression_does_not_depend_on_the_scale_of_scores(
    task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    """Predictions follow an affine change of the labels."""
    data = task_data("pair_regression")

    def with_targets(units: UnitExamples, change: Callable[[Any], Any]) -> UnitExamples:
        return replace(units, targets=Targets(change(units.targets.values)))

    def with_labels(change: Callable[[Any], Any]) -> TaskData:
        return replace(
            data,
            splits={name: replace(split, labels=change(split.labels)) for name, split in data.splits.items()},
            units={**data.units, "train": with_targets(data.units["train"], change)},
        )

    plain = tune(data, recipe()).splits["test"].outputs
    changed = tune(with_labels(lambda values: 20 * values - 300), recipe()).splits["test"].outputs
    assert plain.shape == (7, 1)
    np.testing.assert_allclose(changed, 20 * plain - 300, rtol=1e-3)
    assert 0.5 < plain.mean() < 4.5


def test_truncated_training_texts_are_reported(
    pretrained: Pretrained, splits: Callable, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    whole = task_data()
    task = whole.task.model_copy(update={"max_length": 5})
    short = TaskData.of(task, whole.names, splits(), pretrained, whole.layout)
    expected = sum(len(text.split()) > 3 for text in whole.splits["train"].texts)
    assert expected > 0
    assert tune(short, recipe()).truncated["train"] == expected
    assert tune(whole, recipe()).truncated["train"] == 0

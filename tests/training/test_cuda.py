"""What holds on a CPU holds on a GPU: same bits when repeated or resumed, and the results of the CPU to rounding."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from word_toys import FEW, SEGMENTS, SEPARATE, WORDS, toy

from transfer_atlas.layout import Layout
from transfer_atlas.models.elmo.pretrained import PretrainedElmo
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.settings import Engine
from transfer_atlas.training import device
from transfer_atlas.training.head_training import HeadRun, train_heads

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def processor() -> str:
    return "cuda"


@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("drop", [0.0, 0.2])
def test_repeated_bit_by_bit(
    drop: float,
    precision: str,
    kind: str,
    load: Callable,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    assert_same_bits: Callable,
) -> None:
    pretrained = load(kind)
    data, chosen = task_data(encoder=pretrained), recipe(drop=drop, precision=precision)
    first = tune(data, chosen, encoder=pretrained)
    tune(data, chosen, encoder=pretrained, seed=2)
    assert first.device.type == "cuda"
    assert_same_bits(first, tune(data, chosen, encoder=pretrained))


@pytest.mark.parametrize(
    "settings",
    [{}, {"select": "best"}, {"frozen_layers": 1}, {"unfreeze_epochs": 1, "epochs": 5, "layer_decay": 0.5}],
    ids=str,
)
def test_resumed_bit_by_bit(
    settings: dict[str, Any], task_data: Callable, recipe: Callable, tune: Callable, assert_resumes: Callable
) -> None:
    assert_resumes(partial(tune, task_data(), recipe(drop=0.2, **settings)))


def test_a_run_killed_on_a_gpu_starts_anew_on_a_cpu(
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    resumed: Callable,
    assert_same_bits: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their generators have states of different kinds."""
    train = partial(tune, task_data(), recipe(drop=0.2))

    def move() -> None:
        monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))

    again, _ = resumed(train, 4, meanwhile=move)
    assert_same_bits(train(), again)


@pytest.mark.parametrize("engine", [{"layers": "library"}, {"batching": "padded"}], ids=str)
def test_every_engine_repeats_bit_by_bit_and_agrees(
    engine: dict[str, str], task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    """Dropout off, so that the engines see the same masks: none."""
    data, chosen = task_data(), recipe(adam_epsilon=1e-3)
    first = tune(data, chosen, engine=Engine(**engine))
    assert_same_bits(first, tune(data, chosen, engine=Engine(**engine)))
    expected = tune(data, chosen).splits["test"].outputs
    np.testing.assert_allclose(first.splits["test"].outputs, expected, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cached_frozen_layers_are_recomputed_ones(
    precision: str, task_data: Callable, recipe: Callable, tune: Callable, pretrained: Pretrained
) -> None:
    data, chosen = task_data(), recipe(adam_epsilon=1e-3, frozen_layers=1, precision=precision)
    cached, recomputed = (tune(data, chosen, engine=Engine(frozen=how)) for how in ("cached", "recomputed"))
    tolerance = 1e-3 if precision == "float32" else 0.1
    np.testing.assert_allclose(
        cached.splits["test"].outputs, recomputed.splits["test"].outputs, rtol=tolerance, atol=tolerance
    )
    assert all(parameter.device.type == "cpu" for parameter in pretrained.encoder.parameters())


def test_agrees_with_the_cpu(
    task_data: Callable, recipe: Callable, tune: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without dropout, whose streams differ between kinds of device."""
    data, chosen = task_data(), recipe(adam_epsilon=1e-3, weight_decay=5.0)
    on_gpu = tune(data, chosen)
    monkeypatch.setattr(device, "choose_device", lambda: torch.device("cpu"))
    on_cpu = tune(data, chosen)
    np.testing.assert_allclose(on_gpu.splits["test"].outputs, on_cpu.splits["test"].outputs, rtol=1e-2, atol=1e-3)
    for name, weight in on_cpu.weights.items():
        torch.testing.assert_close(on_gpu.weights[name], weight, rtol=1e-2, atol=1e-4, msg=name)


@pytest.mark.parametrize("head", ["linear", "scalar_mix_mlp"])
def test_heads_repeated_bit_by_bit(
    head: str, feature_data: Callable, recipe: Callable, tune_head: Callable, assert_same_bits: Callable
) -> None:
    data, chosen = feature_data(), recipe(method="extract", head=head, learning_rate=0.01, head_dropout=0.2)
    assert_same_bits(tune_head(data, chosen), tune_head(data, chosen))


@pytest.mark.parametrize("head", ["linear", "scalar_mix_mlp"])
def test_a_heads_bits_are_its_own(
    head: str, feature_data: Callable, recipe: Callable, watch: Callable, assert_same_bits: Callable
) -> None:
    """Alone or with others."""
    data, chosen = feature_data(), recipe(method="extract", head=head, learning_rate=0.01, head_dropout=0.2)
    runs = [HeadRun(data, chosen, "all", seed) for seed in range(7)]
    for run, trained in zip(runs, train_heads(runs, watch()), strict=True):
        assert_same_bits(trained, train_heads([run], watch())[0])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("marked", {"head": "bilstm_crf"}),
        ("marked", {"head": "crf", "unfreeze_epochs": 1}),
        ("arcs", {}),
        ("parity", {}),
    ],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_words_repeated_bit_by_bit(
    precision: str,
    name: str,
    changes: dict[str, Any],
    pretrained: Pretrained,
    recipe: Callable,
    tune: Callable,
    assert_same_bits: Callable,
) -> None:
    data = toy(name, pretrained, Layout("words", False, "mean", None), sizes=FEW)
    chosen = recipe(drop=0.2, precision=precision, hidden=8, **changes)
    assert_same_bits(tune(data, chosen), tune(data, chosen))


@pytest.mark.parametrize(
    ("name", "layout", "head"),
    [("marked", WORDS, "crf"), ("pairs", SEPARATE, "bi_attention"), ("arcs", WORDS, "linear")],
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_elmo_repeated_bit_by_bit(
    precision: str,
    name: str,
    layout: Layout,
    head: str,
    elmo: PretrainedElmo,
    recipe: Callable,
    tune_elmo: Callable,
    assert_same_bits: Callable,
) -> None:
    data, chosen = toy(name, elmo, layout, sizes=FEW), recipe(drop=0.2, head=head, precision=precision, pooling="max")
    assert_same_bits(tune_elmo(data, chosen), tune_elmo(data, chosen))


@pytest.mark.parametrize(
    ("name", "layout", "head"),
    [
        ("marked", WORDS, "bilstm_crf"),
        ("arcs", WORDS, "scalar_mix_linear"),
        ("pairs", SEPARATE, "bcn"),
        ("pairs", SEGMENTS, "esim"),
        ("graded", SEGMENTS, "bi_attention"),
    ],
)
def test_heads_on_all_units_repeat_bit_by_bit(
    name: str,
    layout: Layout,
    head: str,
    pretrained: Pretrained,
    recipe: Callable,
    state_data: Callable,
    tune_sequence_head: Callable,
    assert_same_bits: Callable,
) -> None:
    data = state_data(toy(name, pretrained, layout, sizes=FEW))
    chosen = recipe(method="extract", head=head, hidden=8, learning_rate=0.01, head_dropout=0.2)
    assert_same_bits(tune_sequence_head(data, chosen), tune_sequence_head(data, chosen))


def test_peak_memory_is_that_of_the_device(task_data: Callable, recipe: Callable, tune: Callable) -> None:
    where = torch.device("cuda")
    device.reset_peak_memory(where)
    before = device.peak_memory_mb(where)
    tune(task_data(), recipe())
    assert device.peak_memory_mb(where) > before
    assert device.device_name(where) == torch.cuda.get_device_name()

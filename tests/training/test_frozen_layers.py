"""Frozen bottom layers: they stay as they are, drop nothing, and their states are computed once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from transfer_atlas.models.dropout import StreamDropout, give_stream
from transfer_atlas.models.encoder import Pretrained, depths, frozen_parts, transformer_layers
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.network import Network
from transfer_atlas.settings import Engine, Surgery
from transfer_atlas.training import starts as starting
from transfer_atlas.training.starts import TransformerStarts
from transfer_atlas.training.token_examples import TokenisedExamples

CPU = torch.device("cpu")
LAYERS = 3
FROZEN = [
    *(("bert", layers) for layers in (0, 1, LAYERS)),
    *(("xlnet", layers) for layers in (0, 2)),
    *((kind, 1) for kind in ("roberta", "electra", "mpnet", "distilbert")),
]
RECOMPUTED = Engine(frozen="recomputed")
# Whatever the texts, no gradient reaches these but for rounding: softmax does not see what all keys share.
IDLE = ("key.bias", ".k.bias", "k_lin.bias", "r_s_bias", "seg_embed", "mask_emb")


def trained_names(pretrained: Pretrained, frozen: int) -> set[str]:
    """Names of the parameters in layers above the frozen ones."""
    trained = {id(p) for layer in transformer_layers(pretrained.encoder)[frozen:] for p in layer.parameters()}
    return {name for name, parameter in pretrained.encoder.named_parameters() if id(parameter) in trained}


@pytest.mark.parametrize("engine", [Engine(), RECOMPUTED], ids=["cached", "recomputed"])
@pytest.mark.parametrize(
    ("kind", "frozen"),
    [
        ("bert", 0),
        ("bert", 1),
        ("bert", 3),
        ("roberta", 2),
        ("mpnet", 1),
        ("xlnet", 0),
        ("xlnet", 2),
        ("distilbert", 1),
    ],
)
def test_frozen_weights_stay_and_all_others_move(
    kind: str, frozen: int, engine: Engine, load: Callable, task_data: Callable, recipe: Callable, tune: Callable
) -> None:
    pretrained = load(kind)
    chosen = recipe(drop=0.2, frozen_layers=frozen, weight_decay=5.0)
    weights = tune(task_data(encoder=pretrained), chosen, encoder=pretrained, engine=engine).weights
    moving = trained_names(pretrained, frozen)
    assert len(moving) == (LAYERS - frozen) * len(list(transformer_layers(pretrained.encoder)[0].parameters()))
    for name, before in pretrained.encoder.named_parameters():
        if name not in moving:
            assert torch.equal(weights[f"encoder.{name}"], before), name
        elif not name.endswith(IDLE):
            assert not torch.equal(weights[f"encoder.{name}"], before), name
    assert weights["head.output.weight"].any()


@pytest.mark.parametrize("kind", ["bert", "xlnet"])
def test_nothing_is_dropped_below_the_lowest_trained_layer(kind: str, load: Callable, task_data: Callable) -> None:
    pretrained = load(kind)
    encoder = pretrained.encoder
    head = LinearHead(32, 3, 0.5, torch.Generator().manual_seed(1))
    encoding = encoding_of(encoder, Engine())
    model = Network(encoder, head, False, encoding, depths(encoder), frozen_parts(encoder, 1))
    give_stream(model, torch.Generator().manual_seed(2))
    batch = task_data(encoder=pretrained).units["train"].tokens.batch(torch.arange(12), CPU)
    model.eval()
    expected = encoding(batch)
    model.train()
    found = encoding(batch)

    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])
    assert not torch.allclose(found[2], expected[2], atol=1e-2)
    above = [module for layer in transformer_layers(encoder)[1:] for module in layer.modules()]
    active = [module for module in encoder.modules() if isinstance(module, StreamDropout) and module.training]
    assert active and all(any(module is other for other in above) for module in active)
    assert head.training


@pytest.mark.parametrize(("frozen", "surgery_depth"), [(0, None), (2, None), (3, None), (0, 2), (2, 2)])
def test_cached_is_recomputed(
    frozen: int,
    surgery_depth: int | None,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    watch: Callable,
) -> None:
    """With dropout: both draw the same masks. Stated tolerance: 1e-4 of losses, 1e-3 of predictions."""
    data, chosen = task_data(), recipe(drop=0.2, frozen_layers=frozen, adam_epsilon=1e-3, learning_rate=3e-3)
    entry = Surgery(kind="none" if surgery_depth is None else "progressive")
    cached, recomputed = watch(), watch()
    first = tune(data, chosen, surgery=entry, depth=surgery_depth, observer=cached)
    second = tune(data, chosen, surgery=entry, depth=surgery_depth, observer=recomputed, engine=RECOMPUTED)
    assert cached.losses == pytest.approx(recomputed.losses, rel=1e-4)
    for split in first.splits:
        np.testing.assert_allclose(
            first.splits[split].outputs, second.splits[split].outputs, rtol=1e-3, atol=1e-4, err_msg=split
        )


def test_an_encoder_that_cannot_go_on_from_a_layer_recomputes(
    load: Callable, task_data: Callable, recipe: Callable, tune: Callable, assert_same_bits: Callable
) -> None:
    encoder = load("xlnet")
    data, chosen = task_data(encoder=encoder), recipe(drop=0.2, frozen_layers=1)
    assert_same_bits(tune(data, chosen, encoder=encoder), tune(data, chosen, encoder=encoder, engine=RECOMPUTED))


def test_states_are_computed_once_for_each_start(
    pretrained: Pretrained,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    assert_same_bits: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs on the same rows share them; a subset has training states and another start all states of its own."""
    data, chosen = task_data(), recipe(drop=0.2, frozen_layers=1)
    save_file(tune(data, recipe(), seed=5).weights, tmp_path / "model.safetensors")
    computed: list[TokenisedExamples] = []
    with_states = starting.with_states

    def spy(*arguments: Any) -> TokenisedExamples:
        computed.append(arguments[2])
        return with_states(*arguments)

    monkeypatch.setattr(starting, "with_states", spy)
    starts = TransformerStarts(pretrained, data, Engine())
    together = [tune(data, chosen, starts=starts, seed=seed) for seed in (1, 2)]
    assert [len(examples) for examples in computed] == [12, 9, 7]
    together.append(tune(data, chosen, starts=starts, seed=2, size=5))
    assert [len(examples) for examples in computed[3:]] == [5]
    other = tune(data, chosen, starts=starts, start=tmp_path / "model.safetensors")
    assert [len(examples) for examples in computed[4:]] == [12, 9, 7]

    alone = [tune(data, chosen, seed=1), tune(data, chosen, seed=2), tune(data, chosen, seed=2, size=5)]
    for first, second in zip(together, alone, strict=True):
        assert_same_bits(first, second)
    assert_same_bits(other, tune(data, chosen, start=tmp_path / "model.safetensors"))
    assert not np.array_equal(other.splits["test"].outputs, alone[0].splits["test"].outputs)


def test_frozen_layers_of_an_intermediate_state_are_its_own(
    task_data: Callable, recipe: Callable, tune: Callable, tmp_path: Path
) -> None:
    before = tune(task_data("pair_classification", classes=2), recipe(), seed=5).weights
    save_file(before, tmp_path / "model.safetensors")
    after = tune(task_data(), recipe(frozen_layers=2), start=tmp_path / "model.safetensors").weights
    for name, weight in before.items():
        if name.startswith(("encoder.embeddings.", "encoder.encoder.layer.0.", "encoder.encoder.layer.1.")):
            assert torch.equal(after[name], weight), name

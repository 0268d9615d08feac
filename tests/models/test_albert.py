"""ALBERT: one layer's weights at every depth, embeddings narrower than the states."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModel

from transfer_atlas.errors import UserError
from transfer_atlas.models.dropout import StreamDropout, give_stream
from transfer_atlas.models.encoder import (
    Pretrained,
    depths,
    frozen_parts,
    load_pretrained,
    shares_layers,
    transformer_layers,
)
from transfer_atlas.models.encoding import LibraryEncoding, PaddedEncoding, encoding_of
from transfer_atlas.models.loading import load_model
from transfer_atlas.models.packing import PackedBatch
from transfer_atlas.models.vocabulary import compact_copy, holding, word_embeddings
from transfer_atlas.settings import Engine, Model
from transfer_atlas.training.token_examples import TokenisedExamples, tokenise

Draw = Callable[..., list[str]]
Make = Callable[..., Path]

CPU = torch.device("cpu")
LAYERS = 4
ALBERT = {"embedding_size": 24, "num_hidden_layers": LAYERS}
ENGINES = {"packed": Engine(), "padded": Engine(batching="padded")}
EXACT = {"rtol": 1e-9, "atol": 1e-11}
LAYER = "encoder.albert_layer_groups.0.albert_layers.0"


@pytest.fixture
def folder(make_encoder: Make, tmp_path: Path) -> Path:
    """A copy of an ALBERT that a test may spoil."""
    return Path(shutil.copytree(make_encoder("albert", **ALBERT), tmp_path / "model"))


@pytest.fixture
def texts(sentences: Draw) -> tuple[list[str], list[str]]:
    """Text pairs of many lengths, in no order, enough for several blocks."""
    return sentences(19, seed=1, longest=20), sentences(19, seed=2, longest=20)


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def refusal(folder: Path, *promised: Any) -> str:
    with pytest.raises(UserError) as error:
        load_pretrained(folder, *promised)
    message = str(error.value)
    assert str(folder) in message and "\n" not in message
    return message


def examples_of(pretrained: Pretrained, texts: tuple[list[str], list[str]]) -> TokenisedExamples:
    labels = np.zeros(len(texts[0]), dtype=np.int64)
    return tokenise(pretrained.tokenizer, *texts, labels, 64, pretrained.position_offset)


def batch_of(examples: TokenisedExamples) -> PackedBatch:
    return examples.batch(torch.arange(len(examples)), CPU)


def gradients(model: nn.Module, states: Tensor) -> dict[str, Tensor]:
    """Gradients of all weights for a loss that weighs every element of the states differently."""
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(5), dtype=states.dtype)
    (states * weights).sum().backward()
    named = {name: value.grad for name, value in model.named_parameters() if not name.startswith("pooler.")}
    assert all(gradient is not None for gradient in named.values())
    return {name: gradient for name, gradient in named.items() if gradient is not None}


def assert_gradients_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        # Relative to the largest element: that of the keys' biases is zero but for rounding.
        largest = max(float(gradient.abs().max()), 1.0)
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-9 * largest, msg=name)


# --- states and gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "dropout active"])
@pytest.mark.parametrize("groups", [1, 3, LAYERS])
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_equals_the_stock_model_text_by_text(
    engine: Engine, groups: int, training: bool, make_encoder: Make, texts: tuple[list[str], list[str]]
) -> None:
    """Each text alone, without padding, in transformers' own model: every layer's states and all gradients."""
    folder = make_encoder("albert", num_hidden_groups=groups, **ALBERT)
    pretrained = load_pretrained(folder, LAYERS)
    stock = AutoModel.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    encoder = pretrained.encoder.eval().double()
    if training:
        encoder.train()
        for module in encoder.modules():
            if isinstance(module, StreamDropout):
                module.p = 1e-12  # rounded to 0
        give_stream(encoder, torch.Generator().manual_seed(1))
    encoding = encoding_of(encoder, engine)
    assert isinstance(encoding, PaddedEncoding if engine.batching == "padded" else LibraryEncoding)

    found = encoding(batch_of(examples_of(pretrained, texts)))

    alone = [
        stock(**pretrained.tokenizer(text, pair, return_tensors="pt"), output_hidden_states=True).hidden_states
        for text, pair in zip(*texts, strict=True)
    ]
    expected = [torch.cat([layers[index][0] for layers in alone]) for index in range(LAYERS + 1)]
    assert len(found) == len(expected)
    assert {states.shape[1] for states in found} == {pretrained.hidden_size} == {32}
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    assert_gradients_close(gradients(encoder, found[-1]), gradients(stock, expected[-1]))


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_shared_weights_get_the_gradients_of_all_depths(
    engine: Engine, make_encoder: Make, texts: tuple[list[str], list[str]]
) -> None:
    """Their gradient is the sum of those of as many layers with the same weights, each its own."""
    shared = load_pretrained(make_encoder("albert", **ALBERT))
    apart = load_pretrained(make_encoder("albert", num_hidden_groups=LAYERS, **ALBERT)).encoder.double().eval()
    state = shared.encoder.double().eval().state_dict()
    of_group_0 = "albert_layer_groups.0."
    apart.load_state_dict(
        state
        | {
            name.replace(of_group_0, f"albert_layer_groups.{group}."): value
            for group in range(LAYERS)
            for name, value in state.items()
            if of_group_0 in name
        }
    )
    batch = batch_of(examples_of(shared, texts))

    found = gradients(shared.encoder, encoding_of(shared.encoder, engine)(batch)[-1])

    expected = dict.fromkeys(found, torch.zeros(()))
    for name, gradient in gradients(apart, encoding_of(apart, engine)(batch)[-1]).items():
        group, _, rest = name.removeprefix("encoder.albert_layer_groups.").partition(".")
        one = f"encoder.{of_group_0}{rest}" if group.isdigit() else name
        expected[one] = expected[one] + gradient
    assert_gradients_close(found, expected)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_neither_padding_nor_neighbours_change_a_text(engine: Engine, make_encoder: Make) -> None:
    pretrained = load_pretrained(make_encoder("albert", **ALBERT))
    encoding = encoding_of(pretrained.encoder.eval(), engine)

    def states(*texts: str) -> Tensor:
        return encoding(batch_of(examples_of(pretrained, (list(texts), ["w1"] * len(texts)))))[-1]

    alone, longer, other = states("w2 w3"), states("w2 w3", "w5 " * 40), states("w2 w3", "w6 " * 40)
    torch.testing.assert_close(longer[: len(alone)], alone, rtol=1e-5, atol=1e-5)
    assert torch.equal(longer[: len(alone)], other[: len(alone)])
    assert not torch.allclose(longer[len(alone) :], other[len(alone) :])


def test_stops_at_a_layer_and_goes_on_from_one(make_encoder: Make, texts: tuple[list[str], list[str]]) -> None:
    pretrained = load_pretrained(make_encoder("albert", **ALBERT))
    encoding, batch = encoding_of(pretrained.encoder.eval(), Engine()), batch_of(examples_of(pretrained, texts))
    whole = encoding(batch)
    assert encoding.starts_anywhere
    assert torch.equal(encoding(batch, last=2)[-1], whole[2])
    for layer in (0, 2):
        filled = nn.functional.pad(whole[layer], (0, 0, 0, batch.packing.filler))
        above = encoding(replace(batch, states=filled), first=layer)
        assert len(above) == LAYERS - layer + 1
        torch.testing.assert_close(above[-1], whole[-1])


@pytest.mark.parametrize("dropped", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_dropout_comes_from_the_stream(
    engine: Engine, dropped: str, make_encoder: Make, texts: tuple[list[str], list[str]]
) -> None:
    pretrained = load_pretrained(make_encoder("albert", **{dropped: 0.3}, **ALBERT))
    encoder, batch = pretrained.encoder.train(), batch_of(examples_of(pretrained, texts))
    encoding = encoding_of(encoder, engine)

    def states(seed: int) -> Tensor:
        give_stream(encoder, torch.Generator().manual_seed(seed))
        return encoding(batch)[-1].detach()

    before = torch.get_rng_state()
    first, again, other = states(1), states(1), states(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-2)
    encoder.eval()
    assert not torch.allclose(first, states(1), atol=1e-2)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())
def test_a_compacted_vocabulary_changes_no_state(
    engine: Engine, make_encoder: Make, texts: tuple[list[str], list[str]]
) -> None:
    pretrained = load_pretrained(make_encoder("albert", **ALBERT))
    examples = examples_of(pretrained, texts)
    used = examples.vocabulary()
    encoder, vocabulary = compact_copy(pretrained.encoder.eval(), used)
    assert word_embeddings(encoder).shape == (len(used), 24)
    assert shares_layers(encoder)
    compacted = examples.with_ids(vocabulary.lookup())
    expected = encoding_of(pretrained.encoder, engine)(batch_of(examples))[-1]
    encoding = encoding_of(encoder, engine)
    assert torch.equal(encoding(batch_of(compacted))[-1], expected)
    with holding(encoder, vocabulary, used, word_embeddings(pretrained.encoder)[used]):
        assert torch.equal(encoding(batch_of(compacted))[-1], expected)


# --- anatomy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "groups", "expected"),
    [(4, 1, [0, 0, 0, 0]), (4, 2, [0, 0, 1, 1]), (4, 3, [0, 0, 1, 2]), (4, 4, [0, 1, 2, 3]), (1, 1, [0])],
)
def test_a_layer_for_each_depth(layers: int, groups: int, expected: list[int], make_encoder: Make) -> None:
    settings = {**ALBERT, "num_hidden_layers": layers, "num_hidden_groups": groups}
    encoder = load_pretrained(make_encoder("albert", **settings), layers).encoder
    of_groups = [encoder.get_submodule(f"encoder.albert_layer_groups.{group}.albert_layers.0") for group in expected]
    found = transformer_layers(encoder)
    assert len(found) == layers
    assert all(ours is theirs for ours, theirs in zip(found, of_groups, strict=True))
    assert shares_layers(encoder) == (groups < layers)


def test_shared_weights_lie_at_the_highest_of_their_depths(make_encoder: Make) -> None:
    found = depths(load_pretrained(make_encoder("albert", **ALBERT)).encoder)
    assert {depth for name, depth in found.items() if name.startswith(LAYER)} == {LAYERS}
    assert {depth for name, depth in found.items() if not name.startswith(LAYER)} == {0}
    assert found["encoder.embedding_hidden_mapping_in.weight"] == 0
    in_groups = depths(load_pretrained(make_encoder("albert", num_hidden_groups=2, **ALBERT)).encoder)
    assert set(in_groups.values()) == {0, 2, 4}


def test_shared_layers_are_frozen_all_or_none(make_encoder: Make) -> None:
    encoder = load_pretrained(make_encoder("albert", **ALBERT)).encoder

    def frozen(layers: int) -> set[str]:
        parts = {id(parameter) for part in frozen_parts(encoder, layers) for parameter in part.parameters()}
        return {name for name, parameter in encoder.named_parameters() if id(parameter) in parts}

    everything = set(dict(encoder.named_parameters()))
    assert frozen(0) == {name for name in everything if not name.startswith(LAYER)}
    assert frozen(LAYERS) == everything
    for layers in range(1, LAYERS):
        with pytest.raises(ValueError, match=f"cannot freeze {layers} of 4 layers that share their weights"):
            frozen_parts(encoder, layers)


def test_groups_are_frozen_whole(make_encoder: Make) -> None:
    encoder = load_pretrained(make_encoder("albert", num_hidden_groups=2, **ALBERT)).encoder
    assert len(frozen_parts(encoder, 2)) == len(frozen_parts(encoder, 0)) + 2
    with pytest.raises(ValueError, match="cannot freeze 3 of 4"):
        frozen_parts(encoder, 3)


# --- files --------------------------------------------------------------------------------------------------


def test_loads_what_was_saved(folder: Path) -> None:
    saved = load_file(folder / "model.safetensors")
    pretrained = load_pretrained(folder, LAYERS, 66, True)
    state = pretrained.encoder.state_dict()
    assert state.keys() == {name for name in saved if not name.startswith("pooler.")}
    assert all(torch.equal(state[name], saved[name]) for name in state)
    assert (pretrained.hidden_size, pretrained.position_offset, pretrained.longest_input) == (32, 0, 66)


def test_files_of_a_pretraining_model(folder: Path) -> None:
    """As the hub has them: behind a prefix, with heads of their own."""
    expected = load_pretrained(folder).encoder.state_dict()
    expected = {name: value.clone() for name, value in expected.items()}
    extra = {"predictions.bias": torch.zeros(95), "sop_classifier.classifier.bias": torch.zeros(2)}
    change_weights(folder, lambda weights: {f"albert.{name}": value for name, value in weights.items()} | extra)
    state = load_pretrained(folder).encoder.state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())


def test_weights_without_a_pooler_are_whole(folder: Path) -> None:
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if not k.startswith("pooler.")})
    load_pretrained(folder)


@pytest.mark.parametrize("lost", ["ffn_output.weight", "embedding_hidden_mapping_in.bias"])
def test_no_weight_is_made_up(lost: str, folder: Path) -> None:
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if not k.endswith(lost)})
    assert lost in refusal(folder)


def test_several_layers_within_a_group(make_encoder: Make) -> None:
    assert "inner_group_num" in refusal(make_encoder("albert", inner_group_num=2, **ALBERT))


def test_what_the_settings_promise(folder: Path, make_encoder: Make) -> None:
    assert "has 4 layers, but the settings say models.<name>.layers: 12" in refusal(folder, 12)
    assert "66 positions, but the settings say tasks.<name>.max_length: 67" in refusal(folder, LAYERS, 67)
    said = r"the same weights at several layers, but the settings say models.<name>.shared_layers: false"
    assert said in refusal(folder, LAYERS, None, False)
    said = "weights of its own for each layer, but the settings say models.<name>.shared_layers: true"
    assert said in refusal(make_encoder("bert"), 3, None, True)
    load_pretrained(make_encoder("bert"), 3, None, False)


def test_an_entry_of_the_settings_promises_too(folder: Path) -> None:
    entry = Model(artifact="a", layers=LAYERS, shared_layers=True)
    assert shares_layers(load_model("albert", entry, folder).encoder)
    with pytest.raises(UserError, match="shared_layers: false"):
        load_model("albert", entry.model_copy(update={"shared_layers": False}), folder)

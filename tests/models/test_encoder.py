from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from transfer_atlas.errors import UserError
from transfer_atlas.models.encoder import SUPPORTED, load_pretrained, shares_layers, transformer_layers

Make = Callable[..., Path]


@pytest.fixture
def folder(make_encoder: Make, tmp_path: Path) -> Path:
    """A copy of a BERT that a test may spoil."""
    return Path(shutil.copytree(make_encoder("bert"), tmp_path / "model"))


def refusal(folder: Path, layers: int | None = None) -> str:
    """The one line that loading this folder is refused with."""
    with pytest.raises(UserError) as error:
        load_pretrained(folder, layers)
    message = str(error.value)
    assert message and "\n" not in message
    assert str(folder) in message
    return message


def test_loads_weights_and_anatomy(make_encoder: Make) -> None:
    for kind, offset in (("bert", 0), ("roberta", 2)):
        saved = load_file(make_encoder(kind) / "model.safetensors")
        pretrained = load_pretrained(make_encoder(kind), 3)
        state = pretrained.encoder.state_dict()
        assert pretrained.hidden_size == 32
        assert pretrained.position_offset == offset
        assert len(transformer_layers(pretrained.encoder)) == 3
        # All but the pooler, which no head reads.
        assert state.keys() == {name for name in saved if not name.startswith("pooler.")}
        assert all(torch.equal(state[name], saved[name]) for name in state)
        assert all(parameter.dtype == torch.float32 for parameter in pretrained.encoder.parameters())


@pytest.mark.parametrize("layers", [1, 3, 4])
@pytest.mark.parametrize("kind", SUPPORTED)
def test_a_layer_for_each_depth(kind: str, layers: int, make_encoder: Make) -> None:
    count = {"distilbert": "n_layers", "xlnet": "n_layer"}.get(kind, "num_hidden_layers")
    encoder = load_pretrained(make_encoder(kind, **{count: layers}), layers).encoder
    found = transformer_layers(encoder)
    assert len(found) == layers
    assert shares_layers(encoder) == (kind == "albert" and layers > 1)
    parameters = [id(parameter) for layer in found for parameter in layer.parameters()]
    assert len(set(parameters)) == len(parameters) // (layers if kind == "albert" else 1)
    # Outside of layers are embeddings, what widens them, and XLNet's mask of pretraining: nothing else has parameters.
    outside = {name for name, parameter in encoder.named_parameters() if id(parameter) not in set(parameters)}
    known = r"(embeddings|embeddings_project|encoder\.embedding_hidden_mapping_in|word_embedding)\..*|mask_emb"
    known += r"|encoder\.relative_attention_bias\.weight"
    assert all(re.fullmatch(known, name) for name in outside)


def test_half_precision_weights_become_float32(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({k: v.half() for k, v in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float16"}))
    assert {parameter.dtype for parameter in load_pretrained(folder).encoder.parameters()} == {torch.float32}


def test_no_config(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "config.json: not found" in refusal(folder)


@pytest.mark.parametrize("kind", ["gpt2", "deberta-v2", None])
def test_unsupported_architecture(kind: str | None, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config.pop("model_type")
    (folder / "config.json").write_text(json.dumps({**config, **({"model_type": kind} if kind else {})}))
    message = refusal(folder)
    assert repr(kind) in message
    assert "bert, roberta" in message


def test_other_number_of_layers_than_the_settings_promise(folder: Path) -> None:
    message = refusal(folder, layers=12)
    assert re.search(r"has 3 layers.*layers: 12", message)


def test_pickled_weights_only(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "pickled weights are not loaded" in refusal(folder)


def test_pickled_weights_beside_others_are_not_read(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"no pickle")
    load_pretrained(folder)


# --- folders that look right and are not --------------------------------------------------------------------


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / "model.safetensors")), folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_weights_without_a_pooler_are_whole(folder: Path) -> None:
    change_weights(folder, lambda weights: {k: v for k, v in weights.items() if not k.startswith("pooler.")})
    load_pretrained(folder)


def test_weights_behind_a_prefix_are_found(folder: Path) -> None:
    expected = load_file(folder / "model.safetensors")
    change_weights(folder, lambda weights: {f"bert.{name}": value for name, value in weights.items()})
    state = load_pretrained(folder).encoder.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in state.items())


SILENTLY_RANDOM: dict[str, Callable[[Path], None]] = {
    "a layer's weights are missing": lambda folder: change_weights(
        folder, lambda weights: {k: v for k, v in weights.items() if "layer.1.output" not in k}
    ),
    "all weights have other names": lambda folder: change_weights(
        folder, lambda weights: {f"other.{k}": v for k, v in weights.items()}
    ),
    "the config has a layer more": lambda folder: change_config(folder, num_hidden_layers=4),
}


@pytest.mark.parametrize("spoil", SILENTLY_RANDOM.values(), ids=SILENTLY_RANDOM.keys())
def test_no_weight_is_made_up(spoil: Callable[[Path], None], folder: Path) -> None:
    spoil(folder)
    assert re.search(r"embeddings\.|encoder\.layer\.", refusal(folder))


@pytest.mark.parametrize("missing", [["tokenizer.json"], ["tokenizer.json", "tokenizer_config.json"]])
def test_a_tokenizer_without_vocabulary(missing: list[str], folder: Path) -> None:
    for name in missing:
        (folder / name).unlink()
    assert "tokenizer.json" in refusal(folder)


UNREADABLE: dict[str, Callable[[Path], Any]] = {
    "config is no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "config is no object": lambda folder: (folder / "config.json").write_text("[]"),
    "weights are cut off": lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:5000]
    ),
    "weights are empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights have other shapes": lambda folder: change_config(folder, hidden_size=64),
    "weights have another file name": lambda folder: (folder / "model.safetensors").rename(folder / "w.safetensors"),
}


@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_unreadable_files(spoil: Callable[[Path], Any], folder: Path) -> None:
    spoil(folder)
    refusal(folder)

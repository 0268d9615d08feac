"""Options and weights that cannot be right are named in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.models.elmo.encoder import is_elmo, load_elmo

Make = Callable[..., Path]
CELL = "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell"


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load_elmo(folder)
    message = str(error.value)
    assert message and "\n" not in message
    assert str(folder) in message
    return message


def change_options(folder: Path, section: str, **changes: Any) -> None:
    file = folder / "tiny_options.json"
    options = json.loads(file.read_text())
    options[section] = {**options[section], **changes}
    file.write_text(json.dumps(options))


BAD_OPTIONS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no JSON": (lambda folder: (folder / "tiny_options.json").write_text("{"), "Invalid JSON"),
    "not text": (lambda folder: (folder / "tiny_options.json").write_bytes(b"\xff\xfe"), "the file"),
    "a list": (lambda folder: (folder / "tiny_options.json").write_text("[]"), "the file"),
    "no sections": (lambda folder: (folder / "tiny_options.json").write_text("{}"), "lstm: Field required"),
    "no filters": (lambda folder: change_options(folder, "char_cnn", filters=[]), "char_cnn.filters"),
    "a filter without number": (lambda folder: change_options(folder, "char_cnn", filters=[[1]]), "char_cnn.filters.0"),
    "too wide a filter": (lambda folder: change_options(folder, "char_cnn", filters=[[13, 2]]), "a filter is wider"),
    "unknown activation": (lambda folder: change_options(folder, "char_cnn", activation="gelu"), "'relu' or 'tanh'"),
    "other characters": (lambda folder: change_options(folder, "char_cnn", n_characters=60), "char_cnn.n_characters"),
    "a clip of nothing": (lambda folder: change_options(folder, "lstm", cell_clip=0), "lstm.cell_clip"),
    "no layers": (lambda folder: change_options(folder, "lstm", n_layers=0), "lstm.n_layers"),
    "a size in words": (lambda folder: change_options(folder, "lstm", dim="64"), "lstm.dim"),
}


@pytest.mark.parametrize(("spoil", "named"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_bad_options(spoil: Callable[[Path], Any], named: str, make_elmo: Make) -> None:
    folder = make_elmo()
    spoil(folder)
    message = refusal(folder)
    assert "tiny_options.json" in message
    assert named in message


def change_weights(folder: Path, name: str, value: np.ndarray | None) -> None:
    with h5py.File(folder / "tiny_weights.hdf5", "a") as file:
        del file[name]
        if value is not None:
            file[name] = value


def point_elsewhere(folder: Path) -> None:
    """The array lies in a file that the weights only name."""
    with h5py.File(folder / "other.h5", "w") as other:
        other["B"] = np.zeros(28, dtype=np.float32)
    with h5py.File(folder / "tiny_weights.hdf5", "a") as file:
        del file[f"{CELL}/B"]
        file[f"{CELL}/B"] = h5py.ExternalLink("other.h5", "/B")


def make_group(folder: Path) -> None:
    with h5py.File(folder / "tiny_weights.hdf5", "a") as file:
        del file["CNN_proj/W_proj"]
        file.create_group("CNN_proj/W_proj")


def cut_off(folder: Path) -> None:
    file = folder / "tiny_weights.hdf5"
    file.write_bytes(file.read_bytes()[:3000])


BAD_WEIGHTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda folder: change_weights(folder, f"{CELL}/B", None), f"{CELL}/B is missing"),
    "a group": (make_group, "CNN_proj/W_proj is missing"),
    "other shape": (
        lambda folder: change_weights(folder, f"{CELL}/B", np.zeros(4, dtype=np.float32)),
        f"{CELL}/B has the shape (4,), but options.json asks for (28,)",
    ),
    "whole numbers": (lambda folder: change_weights(folder, f"{CELL}/B", np.zeros(28, dtype=int)), "floating-point"),
    "not finite": (
        lambda folder: change_weights(folder, "char_embed", np.full((261, 3), np.nan, dtype=np.float32)),
        "char_embed holds values that are not finite",
    ),
    "in another file": (point_elsewhere, f"{CELL}/B lies in another file"),
    "cut off": (cut_off, "cannot be read as HDF5"),
    "empty": (lambda folder: (folder / "tiny_weights.hdf5").write_bytes(b""), "cannot be read as HDF5"),
    "of another model": (lambda folder: change_options(folder, "lstm", n_layers=3), "Cell2/LSTMCell/W_0 is missing"),
}


@pytest.mark.parametrize(("spoil", "named"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS.keys())
def test_bad_weights(spoil: Callable[[Path], Any], named: str, make_elmo: Make) -> None:
    folder = make_elmo()
    spoil(folder)
    message = refusal(folder)
    assert "tiny_weights.hdf5" in message
    assert named in message


def test_files_have_to_be_there_once(make_elmo: Make) -> None:
    folder = make_elmo()
    (folder / "other_options.json").write_text("{}")
    assert "*options.json, but has other_options.json, tiny_options.json" in refusal(folder)
    (folder / "other_options.json").unlink()
    (folder / "tiny_weights.hdf5").rename(folder / "weights.h5")
    assert "*weights.hdf5, but has none" in refusal(folder)
    assert not is_elmo(folder)


def test_names_of_the_published_files(make_elmo: Make) -> None:
    folder = make_elmo()
    assert is_elmo(folder)
    for name, published in (("options.json", "options.json"), ("weights.hdf5", "lm_weights.hdf5")):
        (folder / f"tiny_{name}").rename(folder / published)
    load_elmo(folder)


def test_half_precision_weights_become_float32(make_elmo: Make) -> None:
    folder = make_elmo()
    change_weights(folder, f"{CELL}/B", np.ones(28, dtype=np.float16))
    bias = load_elmo(folder).bilm.layers[1].bias
    # TensorFlow adds 1 to the third gate's.
    assert bias[1].tolist() == [1.0] * 14 + [2.0] * 7 + [1.0] * 7

"""The model against its equations, spelt out word by word and step by step in float64."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from transfer_atlas.models.elmo.characters import read_words
from transfer_atlas.models.elmo.encoder import load_elmo

Make = Callable[..., Path]
Vector = np.ndarray

VARIANTS: dict[str, dict[str, Any]] = {
    "as published, smaller": {},
    "tanh": {"char_cnn": {"activation": "tanh"}},
    "no highway": {"char_cnn": {"n_highway": 0}},
    "nothing to project": {"lstm": {"projection_dim": 9}},
    "no clipping": {"lstm": {"cell_clip": None, "proj_clip": None}},
    "only the cell is clipped": {"lstm": {"proj_clip": None}},
    "no skip connections": {"lstm": {"use_skip_connections": False}},
    "three layers": {"lstm": {"n_layers": 3}},
}


def sigmoid(values: Vector) -> Vector:
    return 1 / (1 + np.exp(-values))


class PlainElmo:
    """ELMo without batches: `clipped` counts how often a clip changed a value."""

    def __init__(self, folder: Path):
        self.options = json.loads(next(folder.glob("*options.json")).read_text())
        self.weights: dict[str, Vector] = {}
        with h5py.File(next(folder.glob("*weights.hdf5")), "r") as file:
            file.visititems(lambda name, item: self._keep(name, item))
        self.clipped = 0

    def _keep(self, name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            self.weights[name] = item[...] if name.endswith("/B") else item[...].astype(np.float64)

    def _clip(self, values: Vector, largest: float | None) -> Vector:
        if largest is None:
            return values
        self.clipped += int((np.abs(values) > largest).sum())
        return np.clip(values, -largest, largest)

    def word(self, content: list[int]) -> Vector:
        """The vector of a word with these bytes, or this one id of a boundary."""
        cnn, weights = self.options["char_cnn"], self.weights
        length = cnn["max_characters_per_token"]
        ids = [258, *content[: length - 2], 259]
        embedded = weights["char_embed"][ids + [260] * (length - len(ids))]
        values = []
        for index, (width, _) in enumerate(cnn["filters"]):
            filters, bias = weights[f"CNN/W_cnn_{index}"][0], weights[f"CNN/b_cnn_{index}"]
            windows = [embedded[start : start + width] for start in range(length - width + 1)]
            values.append(np.max([np.einsum("wd,wdf->f", window, filters) + bias for window in windows], axis=0))
        vector = np.concatenate(values)
        vector = np.maximum(vector, 0) if cnn["activation"] == "relu" else np.tanh(vector)
        for index in range(cnn["n_highway"]):
            part = {name.rsplit("/")[1]: array for name, array in weights.items() if f"CNN_high_{index}/" in name}
            gate = sigmoid(vector @ part["W_carry"] + part["b_carry"])
            new = np.maximum(vector @ part["W_transform"] + part["b_transform"], 0)
            vector = gate * new + (1 - gate) * vector
        if "CNN_proj/W_proj" in weights:
            vector = vector @ weights["CNN_proj/W_proj"] + weights["CNN_proj/b_proj"]
        return vector

    def lstm(self, direction: int, layer: int, inputs: list[Vector], state: tuple[Vector, Vector]) -> Any:
        """Outputs of all steps, and the last output and cell."""
        options = self.options["lstm"]
        name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
        # TensorFlow adds 1 to the forget gate, in float32.
        bias = np.concatenate(
            [part + np.float32(gate == 2) for gate, part in enumerate(np.split(self.weights[f"{name}/B"], 4))]
        )
        output, cell = state
        outputs = []
        for values in inputs:
            gates = np.concatenate([values, output]) @ self.weights[f"{name}/W_0"] + bias
            write, new, forget, read = np.split(gates, 4)
            cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(new)
            cell = self._clip(cell, options["cell_clip"])
            output = (sigmoid(read) * np.tanh(cell)) @ self.weights[f"{name}/W_P_0"]
            output = self._clip(output, options["proj_clip"])
            outputs.append(output)
        return outputs, (output, cell)

    def sentences(self, sentences: list[list[str]], stateful: bool) -> list[Vector]:
        """[layers, words, 2P] of each sentence."""
        options = self.options["lstm"]
        zero = (np.zeros(options["projection_dim"]), np.zeros(options["dim"]))
        states: dict[Any, Any] = {}
        found = []
        for sentence in sentences:
            if not sentence:
                found.append(np.zeros((options["n_layers"] + 1, 0, 2 * options["projection_dim"])))
                continue
            tokens = [self.word(content) for content in [[256], *(list(w.encode()) for w in sentence), [257]]]
            halves = []
            for direction in range(2):
                inputs = tokens[::-1] if direction else tokens
                layers = [inputs]
                for layer in range(options["n_layers"]):
                    before = states.get((direction, layer), zero) if stateful else zero
                    outputs, states[direction, layer] = self.lstm(direction, layer, inputs, before)
                    if options["use_skip_connections"] and layer:
                        outputs = [out + inp for out, inp in zip(outputs, inputs, strict=True)]
                    layers.append(outputs)
                    inputs = outputs
                halves.append(np.array([layer[::-1] if direction else layer for layer in layers]))
            found.append(np.concatenate(halves, axis=-1)[:, 1:-1])
        return found


@pytest.mark.parametrize("stateful", [False, True], ids=["reset", "stateful"])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS.keys())
def test_states_are_those_of_the_equations(
    variant: dict[str, Any], stateful: bool, make_elmo: Make, elmo_sentences: list[list[str]]
) -> None:
    folder = make_elmo(**variant)
    plain = PlainElmo(folder)
    expected = np.concatenate(plain.sentences(elmo_sentences, stateful), axis=1)
    model = load_elmo(folder)
    words = read_words(elmo_sentences, model.options.char_cnn.max_characters_per_token)
    clips = (model.options.lstm.cell_clip, model.options.lstm.proj_clip)
    assert bool(plain.clipped) == any(clips)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        with torch.no_grad():
            model.to(dtype)
            layers = model.go_on(words, None)[0] if stateful else model(words)
        found = torch.stack(layers).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < tolerance

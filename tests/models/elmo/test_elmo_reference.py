"""What the original implementation computed for a small model of its own."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from transfer_atlas.models.elmo.characters import read_words
from transfer_atlas.models.elmo.encoder import load_elmo

REFERENCE = Path(__file__).parents[4] / "shared" / "elmo"


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="../shared/elmo is absent")
@pytest.mark.parametrize("number", [0, 1])
def test_top_layer_of_the_stateful_original(number: int) -> None:
    texts = json.loads((REFERENCE / "sentences.json").read_text(encoding="utf-8"))[number]
    sentences = [text.split() for text in texts]
    model = load_elmo(REFERENCE)
    with torch.no_grad():
        layers, _ = model.go_on(read_words(sentences, model.options.char_cnn.max_characters_per_token), None)
    assert len(layers) == 3
    parts = layers[-1].split([len(sentence) for sentence in sentences])
    with h5py.File(REFERENCE / f"lm_embeddings_{number}.hdf5", "r") as file:
        assert len(file) == len(sentences)
        for index, part in enumerate(parts):
            expected = np.concatenate(list(file[str(index)][...]), axis=-1)
            assert np.abs(part.numpy() - expected).max() <= 1e-6

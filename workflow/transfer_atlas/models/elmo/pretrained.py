"""ELMo as it came, and the parts of it that training needs to name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from transfer_atlas.errors import UserError
from transfer_atlas.models.elmo.encoder import Elmo, load_elmo
from transfer_atlas.models.trainable import depths_in


@dataclass(frozen=True)
class PretrainedElmo:
    """A pretrained ELMo: float32, on the CPU."""

    folder: Path
    encoder: Elmo

    @property
    def hidden_size(self) -> int:
        """Width of a state."""
        return self.encoder.hidden_size

    @property
    def characters(self) -> int:
        """Ids of a word."""
        return self.encoder.options.char_cnn.max_characters_per_token

    def fresh(self, dropout: float) -> Elmo:
        """The model once more, to be trained."""
        return load_elmo(self.folder, dropout)


def load_pretrained_elmo(folder: Path, layers: int | None = None) -> PretrainedElmo:
    """Load ELMo's files from `folder`.

    Args:
        layers: The number of LSTM layers that the settings promise.

    Raises:
        UserError: A file is missing or wrong, or layers differ.
    """
    encoder = load_elmo(folder)
    found = encoder.options.lstm.n_layers
    if layers is not None and found != layers:
        raise UserError(f"{folder}: has {found} layers, but the settings say models.<name>.layers: {layers}")
    return PretrainedElmo(folder, encoder)


def elmo_depths(encoder: Elmo) -> dict[str, int]:
    """How deep each parameter lies, by name: 1 in the lowest LSTM layer, 0 in the words' encoder."""
    return depths_in(encoder, encoder.bilm.layers)


def elmo_frozen_parts(encoder: Elmo, layers: int) -> list[nn.Module]:
    """The words' encoder and the bottom `layers` LSTM layers."""
    return [encoder.tokens, *list(encoder.bilm.layers)[:layers]]

"""Loading a pretrained model of whichever kind, and running it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from transfer_atlas.errors import UserError
from transfer_atlas.models.elmo.encoder import is_elmo
from transfer_atlas.models.elmo.pretrained import PretrainedElmo, load_pretrained_elmo
from transfer_atlas.models.encoder import Pretrained, load_pretrained
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.models.network import Encode
from transfer_atlas.models.pooler import Pooler, pooler_after
from transfer_atlas.settings import Engine, Model


def load_model(
    name: str, entry: Model, folder: Path, max_length: int | None = None, with_pooler: bool = False
) -> Pretrained | PretrainedElmo:
    """Load the model that an entry of `models` describes.

    Args:
        name: Of the entry, for messages.
        folder: Where its files lie.
        max_length: The longest input in tokens that it will see; ELMo has no limit.
        with_pooler: Whether a head reads the pooler, which ELMo does not have.

    Raises:
        UserError: The files are not those of such a model.
    """
    found = "elmo" if is_elmo(folder) else "transformer"
    if found != entry.kind:
        raise UserError(f"models.{name}.kind: is {entry.kind}, but {folder} holds {found} files; set kind: {found}")
    if entry.kind == "elmo":
        return load_pretrained_elmo(folder, entry.layers)
    return load_pretrained(folder, entry.layers, max_length, entry.shared_layers, with_pooler)


def frozen_encoder(
    model: Pretrained | PretrainedElmo, engine: Engine, device: torch.device
) -> tuple[nn.Module, Encode]:
    """The encoder on a device, in evaluation mode, and what runs it."""
    encoder = model.encoder.eval().to(device)
    return encoder, encoder if isinstance(model, PretrainedElmo) else encoding_of(encoder, engine)


def frozen_pooler(model: Pretrained | PretrainedElmo, start: Path | None, device: torch.device) -> Pooler | None:
    """The pooler on a device, as pretrained or as a finished run trained it along; None where no head reads it.

    Args:
        start: The run's weights, or None for the pretrained ones.
    """
    if isinstance(model, PretrainedElmo) or model.pooler is None:
        return None
    return pooler_after(model.pooler, start).requires_grad_(False).to(device)

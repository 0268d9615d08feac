"""Loading a pretrained encoder, and the parts of it that surgery and heads need to name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel, AutoTokenizer

from transfer_atlas.errors import UserError
from transfer_atlas.models.dropout import replace_dropout
from transfer_atlas.models.packed_attention import PACKED

# Encoders whose attention is softmax(QK'/sqrt(d))V through transformers' attention interface and whose layers lie
# in `encoder.layer`. Anything with relative positions or recurrence over segments cannot be packed this way.
PACKABLE = ("bert", "roberta", "xlm-roberta", "electra", "camembert")
# RoBERTa counts positions from padding_idx + 1.
_POSITION_OFFSET = ("roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder as it came: module (float32, on the CPU), tokenizer and anatomy."""

    encoder: nn.Module
    tokenizer: Any
    hidden_size: int
    position_offset: int


def load_pretrained(folder: Path, layers: int | None = None, max_length: int | None = None) -> Pretrained:
    """Load config, safetensors weights and tokenizer from `folder`, nothing else and never from the network.

    Args:
        folder: A folder that `AutoModel.from_pretrained` understands.
        layers: The number of layers the settings promise.
        max_length: The longest input in tokens that it will see.

    Raises:
        UserError: Files are missing, the architecture is not supported, layers differ or inputs are too long.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise UserError(f"{config_file}: not found; point models.<name>.folder at the folder that holds config.json")
    try:
        kind = json.loads(config_file.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError):
        raise UserError(f"{config_file}: is no JSON object; fetch the model again") from None
    if kind not in PACKABLE:
        raise UserError(f"{config_file}: model_type {kind!r} is not supported; supported are {', '.join(PACKABLE)}")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: no *.safetensors weights; pickled weights are not loaded, convert them first")
    try:
        encoder, loaded = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation=PACKED,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder}: the weights cannot be read as config.json describes them: {reason}") from error
    # transformers would draw them at random.
    if missing := sorted(name for name in loaded["missing_keys"] if not name.startswith("pooler.")):
        raise UserError(f"{folder}: the weights lack {len(missing)} tensors of the encoder, {missing[0]} for one")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # Without its files a tokenizer knows special tokens only, and every word is unknown.
    if not getattr(tokenizer, "is_fast", False) or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(f"{folder}: has no tokenizer.json, so no fast tokenizer")
    found = encoder.config.num_hidden_layers
    if layers is not None and found != layers:
        raise UserError(f"{config_file}: has {found} layers, but the settings say models.<name>.layers: {layers}")
    offset = encoder.config.pad_token_id + 1 if kind in _POSITION_OFFSET else 0
    positions = encoder.config.max_position_embeddings - offset
    if max_length is not None and max_length > positions:
        raise UserError(
            f"{config_file}: has {positions} positions, but the settings say tasks.<name>.max_length: {max_length}"
        )
    # The pooler is trained for next-sentence prediction or not at all, and no head here reads it: without it, no
    # weights are optimised that no loss can reach.
    encoder.pooler = None
    replace_dropout(encoder)
    return Pretrained(encoder, tokenizer, encoder.config.hidden_size, offset)


def transformer_layers(encoder: nn.Module) -> list[nn.Module]:
    """The transformer layers, bottom first."""
    return list(encoder.encoder.layer)  # type: ignore[union-attr,arg-type]

"""Loading a pretrained encoder, and the parts of it that surgery and heads need to name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoModel

from transfer_atlas.errors import UserError
from transfer_atlas.models.dropout import replace_dropout
from transfer_atlas.models.packed_attention import PACKED
from transfer_atlas.models.padded_attention import PADDED
from transfer_atlas.models.pooler import Pooler, take_pooler
from transfer_atlas.models.tokenizer import load_tokenizer
from transfer_atlas.models.trainable import depths_in

# Encoders whose attention is softmax(QK'/sqrt(d))V through transformers' attention interface, with absolute positions.
PACKABLE = ("bert", "roberta", "xlm-roberta", "electra", "camembert", "albert")
# Encoders with relative positions, two streams or other names; they are run on padded blocks.
PADDED_ONLY = ("mpnet", "xlnet", "distilbert")
SUPPORTED = PACKABLE + PADDED_ONLY
# RoBERTa counts positions from padding_idx + 1.
_POSITION_OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet")


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder as it came: module (float32, on the CPU), tokenizer and anatomy.

    The module's weights are mapped from their file and take memory only where they are read. `pooler` is there where it
    was asked for.
    """

    folder: Path
    encoder: nn.Module
    tokenizer: Any
    hidden_size: int
    position_offset: int
    pooler: Pooler | None = None

    @property
    def longest_input(self) -> int | None:
        """The most tokens that it reads; None where positions are relative and have no limit (XLNet says -1)."""
        positions = int(self.encoder.config.max_position_embeddings)  # type: ignore[union-attr, arg-type]
        return None if positions < 0 else positions - self.position_offset


def _load_encoder(folder: Path, kind: str) -> tuple[Any, Pooler | None, list[str]]:
    """The module, its pooler where the files hold one, and the names of the weights that they lack of the module."""
    try:
        encoder, loaded = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            attn_implementation=PACKED if kind in PACKABLE else PADDED if kind == "distilbert" else "eager",
            output_loading_info=True,
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder}: the weights cannot be read as config.json describes them: {reason}") from error
    # Most heads read the token states themselves: without the pooler, no weights are optimised that no loss can reach.
    pooler = take_pooler(encoder)
    replace_dropout(encoder)
    missing = sorted(loaded["missing_keys"])
    of_encoder = [name for name in missing if not name.startswith("pooler.")]
    return encoder, pooler if of_encoder == missing else None, of_encoder


def _check_layers(encoder: Any, config_file: Path, layers: int | None, shared_layers: bool | None) -> None:
    """Compare the layers of the config with what the settings promise; None: nothing.

    Raises:
        UserError: They differ, or the architecture's variant is not supported.
    """
    if getattr(encoder.config, "inner_group_num", 1) != 1:
        raise UserError(f"{config_file}: ALBERT with inner_group_num other than 1 is not supported")
    found = encoder.config.num_hidden_layers
    if layers is not None and found != layers:
        raise UserError(f"{config_file}: has {found} layers, but the settings say models.<name>.layers: {layers}")
    shared = shares_layers(encoder)
    if shared_layers is not None and shared != shared_layers:
        own = "the same weights at several layers" if shared else "weights of its own for each layer"
        raise UserError(
            f"{config_file}: has {own}, but the settings say models.<name>.shared_layers: {str(shared_layers).lower()}"
        )


def load_pretrained(
    folder: Path,
    layers: int | None = None,
    max_length: int | None = None,
    shared_layers: bool | None = None,
    with_pooler: bool = False,
) -> Pretrained:
    """Load config, safetensors weights and tokenizer from `folder`, nothing else and never from the network.

    Args:
        folder: A folder that `AutoModel.from_pretrained` understands.
        layers: The number of layers the settings promise.
        max_length: The longest input in tokens that it will see.
        shared_layers: Whether the settings promise layers that share their weights (`shares_layers`).
        with_pooler: Whether a head reads the pooler.

    Raises:
        UserError: Files are missing, the architecture is not supported, layers differ, inputs are too long or there is
            no pooler.
    """
    config_file = folder / "config.json"
    if not config_file.is_file():
        raise UserError(f"{config_file}: not found; point models.<name>.folder at the folder that holds config.json")
    try:
        kind = json.loads(config_file.read_text(encoding="utf-8")).get("model_type")
    except (ValueError, AttributeError):
        raise UserError(f"{config_file}: is no JSON object; fetch the model again") from None
    if kind not in SUPPORTED:
        raise UserError(f"{config_file}: model_type {kind!r} is not supported; supported are {', '.join(SUPPORTED)}")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: no *.safetensors weights; pickled weights are not loaded, convert them first")
    encoder, pooler, missing = _load_encoder(folder, kind)
    # transformers would draw them at random.
    if missing:
        raise UserError(f"{folder}: the weights lack {len(missing)} tensors of the encoder, {missing[0]} for one")
    if with_pooler and pooler is None:
        raise UserError(
            f"{folder}: holds no pretrained pooler for recipes.<name>.pooling: pooler; "
            "pooling: cls reads the classification token's state without it"
        )
    tokenizer = load_tokenizer(folder, kind)
    _check_layers(encoder, config_file, layers, shared_layers)
    offset = encoder.config.pad_token_id + 1 if kind in _POSITION_OFFSET else 0
    pretrained = Pretrained(
        folder, encoder, tokenizer, encoder.config.hidden_size, offset, pooler if with_pooler else None
    )
    positions = pretrained.longest_input
    if max_length is not None and positions is not None and positions < max_length:
        raise UserError(
            f"{config_file}: has {positions} positions, but the settings say tasks.<name>.max_length: {max_length}"
        )
    return pretrained


def fresh_encoder(pretrained: Pretrained) -> nn.Module:
    """The pretrained module once more, mapped anew: dropping it gives back the memory that reading it took."""
    encoder: nn.Module = _load_encoder(pretrained.folder, str(pretrained.encoder.config.model_type))[0]  # type: ignore[union-attr]
    return encoder


def is_packable(encoder: nn.Module) -> bool:
    """Whether several texts can be run as one row of tokens."""
    return str(encoder.config.model_type) in PACKABLE  # type: ignore[union-attr]


def transformer_layers(encoder: nn.Module) -> list[nn.Module]:
    """The transformer layers, bottom first, one for each depth: one module at several where they share weights."""
    config: Any = encoder.config
    if config.model_type == "albert":
        groups: Any = encoder.get_submodule("encoder.albert_layer_groups")
        # Lan et al. 2020, section 3.1; written as transformers does, whose rounding this must share.
        depths_of_group = config.num_hidden_layers / config.num_hidden_groups
        return [groups[int(depth / depths_of_group)].albert_layers[0] for depth in range(config.num_hidden_layers)]
    holder: Any = encoder.get_submodule({"xlnet": "", "distilbert": "transformer"}.get(config.model_type, "encoder"))
    return list(holder.layer)


def shares_layers(encoder: nn.Module) -> bool:
    """Whether several depths have the same weights."""
    layers = transformer_layers(encoder)
    return len({id(layer) for layer in layers}) < len(layers)


def depths(encoder: nn.Module) -> dict[str, int]:
    """How deep each parameter lies, by name (`trainable.depths_in`); what depths share lies at the highest of them.

    So weights that work at every depth learn at the full rate, and with the first layer that is unfrozen.
    """
    return depths_in(encoder, transformer_layers(encoder))


def frozen_parts(encoder: nn.Module, layers: int) -> list[nn.Module]:
    """The bottom `layers` transformer layers, and everything outside of layers: embeddings, relative positions.

    Raises:
        ValueError: A layer above has the weights of a frozen one.
    """
    stack = transformer_layers(encoder)
    if {id(layer) for layer in stack[:layers]} & {id(layer) for layer in stack[layers:]}:
        raise ValueError(f"cannot freeze {layers} of {len(stack)} layers that share their weights")
    inside = {id(module) for layer in stack for module in layer.modules()}
    # A layer is frozen as a whole: XLNet keeps matrices in modules that have children too.
    outside = [module for module in encoder.modules() if id(module) not in inside and not list(module.children())]
    return [*outside, *stack[:layers]]

"""Running an encoder on a packed batch: three ways with one result.

`fused` runs our own transformer layers, `library` those of transformers with packed attention; both see real tokens
only. `padded` runs encoders that cannot be packed (XLNet, MPNet and others with relative positions) on blocks of texts
of similar length, each padded to its longest.
"""

from __future__ import annotations

import inspect
from typing import Protocol

import torch
from torch import Tensor, nn

from transfer_atlas.models.encoder import is_packable, transformer_layers
from transfer_atlas.models.packing import PackedBatch
from transfer_atlas.models.padded_attention import PADDED
from transfer_atlas.models.transformer_layer import LayerWeights, is_fusible, transformer_layer
from transfer_atlas.settings import Engine


class Encoding(Protocol):
    """How an encoder is run."""

    starts_anywhere: bool
    """Whether it can go on from the states of a layer."""

    def __call__(self, batch: PackedBatch, first: int = 0, last: int | None = None) -> list[Tensor]:
        """Token states [T, H]: of the embeddings and each layer up to layer `last` (None: the highest).

        With `first`, of that layer, which the batch holds, and each above.
        """
        ...


class _PackedEncoding:
    """What both packed ways share."""

    starts_anywhere = True

    def __init__(self, encoder: nn.Module):
        self.encoder = encoder

    def _layer(self, index: int, states: Tensor, batch: PackedBatch) -> Tensor:
        raise NotImplementedError

    def __call__(self, batch: PackedBatch, first: int = 0, last: int | None = None) -> list[Tensor]:
        """See `Encoding`."""
        found = [_embedded(self.encoder, batch) if batch.states is None else batch.states]
        for index in range(first, len(transformer_layers(self.encoder)) if last is None else last):
            found.append(self._layer(index, found[-1], batch))
        return [layer[: batch.tokens] for layer in found]


class FusedEncoding(_PackedEncoding):
    """Our own layers on the encoder's weights."""

    def __init__(self, encoder: nn.Module):
        super().__init__(encoder)
        self._weights = [LayerWeights(layer) for layer in transformer_layers(encoder)]

    def _layer(self, index: int, states: Tensor, batch: PackedBatch) -> Tensor:
        return transformer_layer(states, batch.packing, self._weights[index])


class LibraryEncoding(_PackedEncoding):
    """The layers of transformers with packed attention."""

    def _layer(self, index: int, states: Tensor, batch: PackedBatch) -> Tensor:
        output: Tensor = transformer_layers(self.encoder)[index](states[None], packing=batch.packing)
        return output[0]


def _embedded(encoder: nn.Module, batch: PackedBatch) -> Tensor:
    """States below the first layer, [T, H], in the type of the weights."""
    with torch.autocast(batch.input_ids.device.type, enabled=False):
        states: Tensor = encoder.embeddings(  # type: ignore[operator]
            input_ids=batch.input_ids, token_type_ids=batch.token_type_ids, position_ids=batch.position_ids
        )
        # ELECTRA's small sizes and ALBERT have narrower embeddings.
        if hasattr(encoder, "embeddings_project"):
            states = encoder.embeddings_project(states)  # type: ignore[operator]
        elif hasattr(encoder.encoder, "embedding_hidden_mapping_in"):
            states = encoder.encoder.embedding_hidden_mapping_in(states)  # type: ignore[operator, union-attr]
    return states[0]


class PaddedEncoding:
    """The encoder of transformers as it is, on blocks of texts of similar length, each padded to its longest."""

    starts_anywhere = False

    def __init__(self, encoder: nn.Module):
        self.encoder = encoder
        if is_packable(encoder):
            encoder.set_attn_implementation(PADDED)  # type: ignore[operator]
        self._accepted = inspect.signature(encoder.forward).parameters

    def __call__(self, batch: PackedBatch, first: int = 0, last: int | None = None) -> list[Tensor]:
        """See `Encoding`."""
        if first:
            raise NotImplementedError("a padded encoder is run from its embeddings on")
        parts: list[list[Tensor]] = []
        for slots, inside in batch.packing.padded():
            inputs = {
                "input_ids": batch.input_ids[0][slots],
                "attention_mask": inside.long(),
                "token_type_ids": batch.token_type_ids[0][slots],
                # Never left to the encoder, which would count from ids that a compacted vocabulary has changed.
                "position_ids": batch.position_ids[0][slots],
                "use_mems": False,
            }
            output = self.encoder(
                **{name: value for name, value in inputs.items() if name in self._accepted}, output_hidden_states=True
            )
            parts.append([layer[inside] for layer in output.hidden_states])
        return [torch.cat(layer) for layer in zip(*parts, strict=True)][: None if last is None else last + 1]


def encoding_of(encoder: nn.Module, engine: Engine) -> Encoding:
    """The way that the settings ask for, as far as the encoder's architecture allows it."""
    if engine.batching == "padded" or not is_packable(encoder):
        return PaddedEncoding(encoder)
    if engine.layers == "fused" and all(is_fusible(layer) for layer in transformer_layers(encoder)):
        return FusedEncoding(encoder)
    return LibraryEncoding(encoder)

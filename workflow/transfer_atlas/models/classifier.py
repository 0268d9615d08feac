"""An encoder with pooling and a head: what fine-tuning trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from transfer_atlas.models.packed_attention import Packing


@dataclass(frozen=True)
class PackedBatch:
    """B texts as one row of T tokens.

    Attributes:
        input_ids, token_type_ids, position_ids: [1, T], int64.
        packing: Where each text's tokens lie.
    """

    input_ids: Tensor
    token_type_ids: Tensor
    position_ids: Tensor
    packing: Packing

    @property
    def tokens(self) -> int:
        """Number of real tokens T."""
        return self.input_ids.shape[1]


def encode(encoder: nn.Module, batch: PackedBatch, all_layers: bool = False) -> list[Tensor]:
    """Run the encoder on a packed batch.

    Returns:
        Token states [T, H]: of the last layer only, or of the embeddings and every layer.
    """
    output = encoder(
        input_ids=batch.input_ids,
        token_type_ids=batch.token_type_ids,
        position_ids=batch.position_ids,
        packing=batch.packing,
        output_hidden_states=all_layers,
    )
    states = output.hidden_states if all_layers else (output.last_hidden_state,)
    return [layer[0] for layer in states]


def pool(states: Tensor, packing: Packing, pooling: str) -> Tensor:
    """One float32 vector for each text, [T, H] -> [B, H]: `mean` of its tokens, or its `first` token."""
    ends = torch.cumsum(packing.lengths, 0)
    starts = ends - packing.lengths
    if pooling == "first":
        return states[starts].float()
    position = torch.arange(len(states), device=states.device)
    inside = (position >= starts[:, None]) & (position < ends[:, None])
    # A product with a [B, T] matrix of 1/length: deterministic everywhere, unlike a scatter on CUDA.
    with torch.autocast(states.device.type, enabled=False):
        return (inside.float() / packing.lengths[:, None]) @ states.float()


class Classifier(nn.Module):
    """Encoder, pooling, head: PackedBatch -> scores [B, outputs] (float32)."""

    def __init__(self, encoder: nn.Module, head: nn.Module, pooling: str):
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.pooling = pooling

    def forward(self, batch: PackedBatch) -> Tensor:
        """Score each text of the batch."""
        (states,) = encode(self.encoder, batch)
        pooled = pool(states, batch.packing, self.pooling)
        with torch.autocast(pooled.device.type, enabled=False):
            scores: Tensor = self.head(pooled)
        return scores

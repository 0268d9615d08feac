"""What is trained: a head on sequences of states, alone or with the encoder below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from transfer_atlas.models.heads.crf import CrfTagger
from transfer_atlas.models.sequences import Sequences
from transfer_atlas.models.trainable import Trainable
from transfer_atlas.models.units import UnitBatch

Encode = Callable[[Any], Sequence[Tensor]]
"""States [T, H] of the embeddings and every layer of a batch of inputs."""


class HeadNetwork(Trainable):
    """A head on states that are given: Sequences -> outputs, [B, K] of examples or [T, K] of words.

    Args:
        labelling: Whether words are labelled; predictions are then classes, [T, 1].
    """

    def __init__(self, head: nn.Module, labelling: bool):
        super().__init__()
        self.head = head
        self.labelling = labelling

    def _lengths(self, batch: Any) -> Tensor:
        """[S] words of each sequence of a batch."""
        lengths: Tensor = batch.lengths
        return lengths

    def forward(self, batch: Any) -> Tensor:
        """Score each example or word of the batch."""
        with torch.autocast(batch.device.type, enabled=False):
            outputs: Tensor = self.head(batch)
        return outputs

    def loss(self, outputs: Tensor, targets: Tensor, batch: Any) -> Tensor:
        """See `Trainable`; of a CRF its negative log-likelihood per word."""
        if isinstance(self.head, CrfTagger):
            return self.head.crf.loss(outputs, targets, self._lengths(batch))
        return super().loss(outputs, targets, batch)

    def decode(self, outputs: Tensor, batch: Any) -> Tensor:
        """See `Trainable`; of words the best class, in a CRF that of the best sequence. NaN: training diverged."""
        if not self.labelling:
            return outputs
        if isinstance(self.head, CrfTagger):
            chosen = self.head.crf.viterbi(outputs, self._lengths(batch))
        else:
            chosen = outputs.argmax(dim=1)
        return torch.where(outputs.isfinite().all(dim=1), chosen.float(), torch.nan)[:, None]


class Network(HeadNetwork):
    """Encoder and head: UnitBatch -> outputs (float32).

    Args:
        encode: Runs the encoder.
        depths: How deep each parameter of the encoder lies, by name (`Trainable.depth_of`).
        frozen: Parts of the encoder that are not trained, and run without dropout.
    """

    def __init__(
        self,
        encoder: nn.Module,
        head: nn.Module,
        labelling: bool,
        encode: Encode,
        depths: Mapping[str, int],
        frozen: Sequence[nn.Module] = (),
    ):
        super().__init__(head, labelling)
        self.encoder = encoder
        self._encode = encode
        self._depths = {f"encoder.{name}": depth for name, depth in depths.items()}
        self._frozen = list(frozen)
        for part in self._frozen:
            part.requires_grad_(False)

    @property
    def layers(self) -> int:
        """Layers of the encoder."""
        return max(self._depths.values())

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the frozen parts."""
        super().train(mode)
        for part in self._frozen:
            part.train(False)
        return self

    def depth_of(self, name: str) -> int | None:
        """See `Trainable`."""
        return self._depths.get(name)

    def _lengths(self, batch: UnitBatch) -> Tensor:
        return batch.units.lengths

    def forward(self, batch: UnitBatch) -> Tensor:
        """Score each example or word of the batch."""
        sequences: Sequences = batch.units.read([self._encode(batch.inputs)[-1]])
        return super().forward(sequences)

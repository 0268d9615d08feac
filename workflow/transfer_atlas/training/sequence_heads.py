"""Feature extraction with heads that read all tokens or words: one run at a time on stored states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from transfer_atlas.layout import Layout
from transfer_atlas.models.network import HeadNetwork
from transfer_atlas.models.sequences import Sequences, rows_of_parts, starts_of
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device
from transfer_atlas.training.fit_and_score import fit_and_score
from transfer_atlas.training.head_choice import head_for
from transfer_atlas.training.loop import Observer, predict
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.targets import Scaling, Targets
from transfer_atlas.training.unit_examples import answers


@dataclass(frozen=True)
class StoredUnits:
    """Examples whose units' states are stored.

    Attributes:
        states: [U, layers + 1, H] of all units, memory-mapped; those of a part of the examples too.
        layer: The layer that is read; None: all.
        starts: [N] first unit of each example.
        lengths: [N, s] units of each sequence of each example.
        tokens: [N] tokens of each example.
        targets: Of the examples, or in labelling of their units.
        spans: [N, 2, 2] marked spans of units, where the task has any.
    """

    states: np.ndarray
    layer: int | None
    starts: Tensor
    lengths: Tensor
    tokens: Tensor
    targets: Targets
    spans: Tensor | None

    @staticmethod
    def of(
        examples: Examples, layout: Layout, states: np.ndarray, units: np.ndarray, tokens: np.ndarray
    ) -> StoredUnits:
        """Examples with their stored states and the units of each sequence ([N * s])."""
        lengths = torch.from_numpy(units).view(len(examples), layout.sequences)
        starts = starts_of(lengths.sum(1))
        return StoredUnits(states, None, starts, lengths, torch.from_numpy(tokens), *answers(examples, lengths[:, 0]))

    def __len__(self) -> int:
        return len(self.lengths)

    def sizes(self) -> Tensor:
        """[N] tokens of each example."""
        return self.tokens

    def units(self, rows: Tensor) -> Tensor:
        """[B] outputs that each of these examples has."""
        return self.targets.units(rows)

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        """Targets of these examples, one after the other."""
        return self.targets.of(rows).to(device)

    def batch(self, rows: Tensor, device: torch.device) -> Sequences:
        """States of these examples ([B], int64): float32, of the one layer or of all."""
        lengths = self.lengths[rows]
        units = rows_of_parts(self.starts[rows], lengths.sum(1)).numpy()
        read = self.states[units] if self.layer is None else self.states[units, self.layer][:, None]
        states = torch.from_numpy(read).to(device).float().transpose(0, 1).contiguous()
        return Sequences(states, lengths.flatten(), None if self.spans is None else self.spans[rows])

    def take(self, rows: np.ndarray) -> StoredUnits:
        """Only these examples, in this order; no state is copied."""
        index = torch.from_numpy(rows)
        return replace(
            self,
            starts=self.starts[index],
            lengths=self.lengths[index],
            tokens=self.tokens[index],
            targets=self.targets.take(index),
            spans=None if self.spans is None else self.spans[index],
        )

    def with_targets(self, targets: Targets) -> StoredUnits:
        """The same examples with other targets."""
        return replace(self, targets=targets)


@dataclass(frozen=True)
class StateData:
    """A task with the stored states of its units.

    Attributes:
        names: Of the classes, in order; None for regression.
    """

    task: Task
    names: Sequence[str] | None
    layout: Layout
    splits: dict[str, Examples]
    units: dict[str, StoredUnits]
    truncated: Mapping[str, int]


def train_sequence_head(
    data: StateData, recipe: Recipe, size: int | Literal["all"], seed: int, observer: Observer
) -> Trained:
    """Train one head and score it on validation and test."""
    where = device.choose_device()
    layers, features = data.units["train"].states.shape[1:]
    layer = None
    # A linear head reads the layer that the recipe names; the others learn a mix of all.
    if recipe.head == "linear":
        layer, layers = layers - 1 if recipe.layer == "last" else int(recipe.layer), 1
    units = {split: replace(stored, layer=layer) for split, stored in data.units.items()}
    chosen = nested_subset(len(data.splits["train"]), size, seed)
    init = torch.Generator().manual_seed(stream_seed(seed, "init"))
    model = HeadNetwork(head_for(recipe, data, layers, features, init), data.task.type == "token_labelling")

    def predictions(split: str, steps: int) -> np.ndarray:
        return predict(model, units[split], where, "float32")

    train = units["train"].take(chosen)
    fitted, splits = fit_and_score(
        model,
        train,
        data,
        predictions,
        recipe,
        seed,
        device=where,
        precision="float32",
        observer=observer,
        scaling=Scaling.of(train.targets.values),
    )
    return Trained(fitted, len(chosen), data.truncated, splits, where, "float32")

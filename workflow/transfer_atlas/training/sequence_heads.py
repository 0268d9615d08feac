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
from transfer_atlas.models.sequences import Sequences
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device
from transfer_atlas.training.fit_and_score import fit_and_score
from transfer_atlas.training.head_choice import head_for
from transfer_atlas.training.loop import Observer, predict
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.targets import Targets, rows_of_parts, targets_of
from transfer_atlas.training.unit_examples import kept_labels, reachable


@dataclass(frozen=True)
class StoredUnits:
    """Examples whose units' states are stored.

    Attributes:
        states: [U, layers + 1, H] of the units of all examples, memory-mapped.
        layer: The layer that is read; None: all.
        lengths: [N, s] units of each sequence of each example.
        tokens: [N] tokens of each example.
        targets: Of the examples, or in labelling of their units.
        spans: [N, 2, 2] marked spans of units, where the task has any.
    """

    states: np.ndarray
    layer: int | None
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
        if examples.labels_words:
            kept = lengths[:, 0]
            targets, spans = Targets(targets_of(kept_labels(examples, kept)), kept), None
        else:
            targets = Targets(targets_of(examples.labels))
            spans = None if examples.spans is None else reachable(torch.from_numpy(examples.spans), lengths[:, 0])
        return StoredUnits(states, None, lengths, torch.from_numpy(tokens), targets, spans)

    def __len__(self) -> int:
        return len(self.lengths)

    def sizes(self) -> Tensor:
        """[N] tokens of each example."""
        return self.tokens

    def batch(self, rows: Tensor, device: torch.device) -> Sequences:
        """States of these examples ([B], int64): float32, of the one layer or of all."""
        totals = self.lengths.sum(1)
        starts = torch.cumsum(totals, 0) - totals
        units = rows_of_parts(starts[rows], totals[rows]).numpy()
        read = self.states[units] if self.layer is None else self.states[units, self.layer][:, None]
        states = torch.from_numpy(read).to(device).float().transpose(0, 1).contiguous()
        return Sequences(states, self.lengths[rows].flatten(), None if self.spans is None else self.spans[rows])


@dataclass(frozen=True)
class ChosenUnits:
    """Some of the examples whose states are stored, in an order of their own: the states are not copied.

    Attributes:
        stored: All of them.
        rows: [n] the chosen ones.
        targets: Of the chosen ones.
    """

    stored: StoredUnits
    rows: Tensor
    targets: Targets

    def __len__(self) -> int:
        return len(self.rows)

    def sizes(self) -> Tensor:
        """[n] tokens of each example."""
        return self.stored.tokens[self.rows]

    def units(self, rows: Tensor) -> Tensor:
        """[B] outputs that each of these examples has."""
        return self.targets.units(rows)

    def targets_of(self, rows: Tensor, device: torch.device) -> Tensor:
        """Targets of these examples, one after the other."""
        return self.targets.of(rows).to(device)

    def batch(self, rows: Tensor, device: torch.device) -> Sequences:
        """States of these examples."""
        return self.stored.batch(self.rows[rows], device)

    def with_targets(self, targets: Targets) -> ChosenUnits:
        """The same examples with other targets."""
        return replace(self, targets=targets)


def chosen_units(stored: StoredUnits, rows: np.ndarray) -> ChosenUnits:
    """These examples, in this order."""
    index = torch.from_numpy(rows)
    return ChosenUnits(stored, index, stored.targets.take(index))


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
        return predict(model, chosen_units(units[split], np.arange(len(units[split]))), where, "float32")

    fitted, splits = fit_and_score(
        model,
        chosen_units(units["train"], chosen),
        data,
        predictions,
        recipe,
        seed,
        device=where,
        precision="float32",
        observer=observer,
    )
    return Trained(fitted, len(chosen), data.truncated, splits, where, "float32")

"""Feature extraction: heads trained on stored representations of a frozen encoder, as many at once as are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from transfer_atlas import updates
from transfer_atlas.models.heads.linear import LinearHead
from transfer_atlas.models.heads.scalar_mix import ScalarMixMLP
from transfer_atlas.models.stacked_heads import lanes, stack_heads
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.streams import stream_seed
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.subsets import nested_subset
from transfer_atlas.training import device
from transfer_atlas.training.feature_examples import Source, StackedExamples, rows_of
from transfer_atlas.training.loop import EVALUATION_BATCH, Observer
from transfer_atlas.training.metrics import score
from transfer_atlas.training.outcome import Trained, scored
from transfer_atlas.training.stacked_loop import Stack, fit, pace_and_decay, predict
from transfer_atlas.training.targets import Scaling, outputs_of, scaled, targets_of, unscaled

STACK_HEADS = 128
STACK_BYTES = 32 * 2**20
"""Largest stack: its heads, and the memory of their weights, moments and activations, about what caches hold."""


@dataclass(frozen=True)
class FeatureData:
    """A task with its representations: for each split the examples, [N, layers + 1, H] states and [N] token counts."""

    task: Task
    classes: int
    splits: dict[str, Examples]
    states: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    truncated: Mapping[str, int]
    _rows: dict[tuple[str, torch.device], Tensor] = field(default_factory=dict, repr=False, compare=False)

    def rows(self, split: str, where: torch.device) -> Tensor:
        """The states of a split as rows (`rows_of`) on a device."""
        if (split, where) not in self._rows:
            self._rows[split, where] = rows_of(self.states[split]).to(where)
        return self._rows[split, where]

    @property
    def layers(self) -> int:
        """Number of transformer layers; there are states of the embeddings too."""
        return self.states["train"].shape[1] - 1


@dataclass(frozen=True)
class HeadRun:
    """One head to train."""

    data: FeatureData
    recipe: Recipe
    size: int | Literal["all"]
    seed: int

    @property
    def layer(self) -> int | None:
        """The layer that the head reads; None for all."""
        if self.recipe.head == "scalar_mix_mlp":
            return None
        return self.data.layers if self.recipe.layer == "last" else int(self.recipe.layer)

    @property
    def n_train(self) -> int:
        """Number of training examples."""
        return len(self.data.splits["train"]) if self.size == "all" else self.size

    def subset(self) -> np.ndarray:
        """Row numbers of the training examples."""
        return nested_subset(len(self.data.splits["train"]), self.size, self.seed)

    def targets(self) -> tuple[Tensor, Scaling | None]:
        """[n] targets on the scale of training, and that scale."""
        targets = targets_of(self.data.splits["train"].labels[self.subset()])
        scaling = Scaling.of(targets)
        return scaled(targets, scaling), scaling

    def new_head(self) -> LinearHead | ScalarMixMLP:
        """The head before its first update."""
        init = torch.Generator().manual_seed(stream_seed(self.seed, "init"))
        outputs = outputs_of(self.data.task.type, self.data.classes)
        features, recipe = self.data.states["train"].shape[2], self.recipe
        if recipe.head == "linear":
            return LinearHead(features, outputs, recipe.head_dropout, init)
        return ScalarMixMLP(features, self.data.layers, recipe.hidden, outputs, recipe.head_dropout, init)


def _shape(run: HeadRun) -> tuple[Any, ...]:
    """What the heads of a stack have in common; sortable."""
    recipe, data = run.recipe, run.data
    outputs = outputs_of(data.task.type, data.classes)
    hidden = recipe.hidden if recipe.head == "scalar_mix_mlp" else 0
    shape = (recipe.head, data.states["train"].shape[1:], hidden, outputs, data.task.type)
    training = (run.n_train, recipe.batch_size, updates.total_steps(run.n_train, recipe))
    return *shape, *training, recipe.select


def _bytes(run: HeadRun) -> int:
    """Memory of a head in a stack: weights with gradient, moments and best ones; states, masks and activations."""
    states, features = run.data.states["train"].shape[1:]
    width = lanes(features)
    hidden = lanes(run.recipe.hidden) if run.layer is None else 0
    outputs = outputs_of(run.data.task.type, run.data.classes)
    weights = hidden * width + outputs * (hidden or width)
    read = width * (states if run.layer is None else 1)
    return 4 * (5 * weights + max(run.recipe.batch_size, EVALUATION_BATCH) * (read + 3 * (width + hidden)))


def _most(run: HeadRun) -> int:
    """How many heads of this one's shape are trained together at most."""
    return max(1, min(STACK_HEADS, STACK_BYTES // _bytes(run)))


def stacks(runs: Sequence[HeadRun]) -> list[list[int]]:
    """Which runs are trained together: numbers of those of one shape, as many as memory allows."""
    found = []
    for _, same in groupby(sorted(range(len(runs)), key=lambda k: _shape(runs[k])), key=lambda k: _shape(runs[k])):
        alike = list(same)
        most = _most(runs[alike[0]])
        found += [alike[begin : begin + most] for begin in range(0, len(alike), most)]
    return found


def _filled(runs: list[HeadRun], where: torch.device) -> list[HeadRun]:
    """The runs of a stack and copies of the first that make its size one at which kernels give the same bits.

    On a CPU a product of a single pair of matrices is computed by another kernel than that of a batch. On a GPU the
    kernel may depend on the size of the batch, so stacks of one shape are all equally large there.
    """
    least = 2 if where.type == "cpu" else max(2, _most(runs[0]))
    return runs + [runs[0]] * (least - len(runs))


def _examples(
    runs: Sequence[HeadRun], split: str, chosen: Sequence[np.ndarray], where: torch.device
) -> StackedExamples:
    """These rows of a split ([n] of each head) as the heads read them."""
    sources = []
    for _, same in groupby(runs, key=lambda run: id(run.data)):
        neighbours = list(same)
        sources.append(Source(len(neighbours), neighbours[0].data.rows(split, where)))
    states = runs[0].data.layers + 1
    first = [torch.from_numpy(rows) * states + (run.layer or 0) for run, rows in zip(runs, chosen, strict=True)]
    return StackedExamples(sources, torch.stack(first).to(where), states if runs[0].layer is None else None)


def _stack(runs: Sequence[HeadRun], where: torch.device) -> tuple[Stack, list[Scaling | None]]:
    """The stack of these runs before its first update, and each head's scale of targets."""
    subsets = [run.subset() for run in runs]
    tokens = [int(run.data.lengths["train"][rows].sum()) for run, rows in zip(runs, subsets, strict=True)]
    targets, scalings = zip(*(run.targets() for run in runs), strict=True)
    stack = Stack(
        stack_heads([run.new_head() for run in runs]),
        [run.recipe for run in runs],
        [run.seed for run in runs],
        _examples(runs, "train", subsets, where),
        torch.stack(targets).to(where),
        torch.tensor(tokens),
    )
    return stack, list(scalings)


def train_heads(runs: Sequence[HeadRun], observer: Observer) -> list[Trained]:
    """Train heads of one shape (see `stacks`) together and score each on validation and test; results in their order.

    A head's seconds are its share of the stack's.
    """
    where = device.choose_device()
    data = list(dict.fromkeys(id(run.data) for run in runs))
    order = sorted(range(len(runs)), key=lambda k: (data.index(id(runs[k].data)), pace_and_decay(runs[k].recipe)))
    members = _filled([runs[k] for k in order], where)
    stack, scalings = _stack(members, where)
    rows = {
        split: _examples(members, split, [np.arange(len(run.data.splits[split])) for run in members], where)
        for split in ("validation", "test")
    }

    def evaluate(split: str) -> list[np.ndarray]:
        outputs = predict(stack.heads, rows[split]).numpy()
        return [unscaled(of_head, scaling) for of_head, scaling in zip(outputs, scalings, strict=True)]

    def validate() -> list[float]:
        return [
            score(run.data.task.main_metric, outputs, run.data.splits["validation"].labels)
            for run, outputs in zip(members, evaluate("validation"), strict=True)
        ]

    select = members[0].recipe.select == "best"
    fitted = fit(stack, device=where, observer=observer, validate=validate if select else None)
    outputs = {split: evaluate(split) for split in rows}
    trained = {}
    for place, k in enumerate(order):
        data_of_head = runs[k].data
        splits = {
            split: scored(data_of_head.task, None, data_of_head.splits[split], outputs[split][place]) for split in rows
        }
        share = replace(fitted[place], seconds=fitted[place].seconds * len(members) / len(runs))
        trained[k] = Trained(share, runs[k].n_train, data_of_head.truncated, splits, where, "float32")
    return [trained[k] for k in range(len(runs))]

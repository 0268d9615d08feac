"""Which head a task gets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from transfer_atlas.layout import Layout
from transfer_atlas.models.heads.build import new_head
from transfer_atlas.settings import Recipe, Task
from transfer_atlas.tasks.examples import Examples


def head_for(
    recipe: Recipe,
    task: Task,
    names: Sequence[str] | None,
    layout: Layout,
    train: Examples,
    layers: int,
    features: int,
    init: torch.Generator,
) -> nn.Module:
    """A new head for a task.

    Args:
        names: Of the classes, in order; None for regression.
        layers: How many layers' states it gets.
        features: Their width.
        init: Where its weights come from.
    """
    second = train.spans is not None and bool((train.spans[:, 1] >= 0).any())
    return new_head(
        recipe.head,
        layers=layers,
        features=features,
        outputs=1 if names is None else len(names),
        hidden=recipe.hidden,
        head_layers=recipe.head_layers,
        dropout=recipe.head_dropout,
        pooling=recipe.pooling,
        unit="word" if task.type == "token_labelling" else "example",
        sequences_per_example=2 if layout.sequences == 2 else 1,
        spans_per_example=0 if train.spans is None else 2 if second else 1,
        tag_names=names if task.tags != "words" else None,
        generator=init,
    )

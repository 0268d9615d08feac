"""Which head a task gets."""

from __future__ import annotations

import torch
from torch import nn

from transfer_atlas.models.heads.build import new_head
from transfer_atlas.models.pooler import Pooler
from transfer_atlas.settings import Recipe
from transfer_atlas.training.fit_and_score import TaskSplits


def head_for(
    recipe: Recipe,
    data: TaskSplits,
    layers: int,
    features: int,
    init: torch.Generator,
    pooler: Pooler | None = None,
) -> nn.Module:
    """A new head for a task.

    Args:
        layers: How many layers' states it gets.
        features: Their width.
        init: Where its weights come from.
        pooler: For `pooling: pooler`, to be trained along.
    """
    spans = data.splits["train"].spans
    second = spans is not None and bool((spans[:, 1] >= 0).any())
    return new_head(
        recipe.head,
        layers=layers,
        features=features,
        outputs=1 if data.names is None else len(data.names),
        hidden=recipe.hidden,
        head_layers=recipe.head_layers,
        dropout=recipe.head_dropout,
        pooling=recipe.pooling,
        unit="word" if data.task.type == "token_labelling" else "example",
        sequences_per_example=2 if data.layout.sequences == 2 else 1,
        spans_per_example=0 if spans is None else 2 if second else 1,
        tag_names=data.names if data.task.tags != "words" else None,
        generator=init,
        pooler=pooler,
    )

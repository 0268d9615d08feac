"""Trainings on words end in the same bits: killed and resumed, or behind other runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from word_toys import FEW, toy

from transfer_atlas.layout import Layout
from transfer_atlas.models.elmo.pretrained import PretrainedElmo
from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.settings import Engine, Recipe
from transfer_atlas.training.starts import ElmoStarts, TransformerStarts


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("marked", {"head": "bilstm_crf", "hidden": 8, "select": "best", "batch_size": 6}),
        ("parity", {"unfreeze_epochs": 1, "epochs": 5, "layer_decay": 0.5, "weight_decay": 5.0, "batch_size": 6}),
        ("arcs", {"frozen_layers": 1, "batch_size": 6}),
    ],
)
def test_words_resume(
    name: str,
    changes: dict[str, Any],
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    tune: Callable,
    assert_resumes: Callable,
) -> None:
    data = toy(name, pretrained, Layout("words", False, "mean", None), sizes=FEW)
    assert_resumes(partial(tune, data, recipe(drop=0.2, **changes)))


@pytest.mark.parametrize("changes", [{"head": "bilstm_crf"}, {"head": "linear", "select": "best"}], ids=str)
def test_heads_resume(
    changes: dict[str, Any],
    pretrained: Pretrained,
    recipe: Callable[..., Recipe],
    state_data: Callable,
    tune_sequence_head: Callable,
    assert_resumes: Callable,
) -> None:
    chosen = recipe(method="extract", hidden=8, head_dropout=0.2, learning_rate=0.01, **changes)
    assert_resumes(partial(tune_sequence_head, state_data(toy("marked", pretrained, sizes=FEW)), chosen))


@pytest.mark.parametrize("kind", ["bert", "elmo"])
def test_bits_do_not_depend_on_the_runs_before(
    kind: str,
    pretrained: Pretrained,
    elmo: PretrainedElmo,
    recipe: Callable[..., Recipe],
    tune: Callable,
    assert_same_bits: Callable,
) -> None:
    """Alone, or behind runs of other seeds, sizes and starts that share what was loaded."""
    model = pretrained if kind == "bert" else elmo
    data = toy("marked", model, sizes=FEW)

    def starts() -> Any:
        return ElmoStarts(elmo, data) if kind == "elmo" else TransformerStarts(pretrained, data, Engine())

    chosen = recipe(drop=0.2, head="crf", frozen_layers=1)
    alone = tune(data, chosen, starts=starts(), seed=3)
    shared = starts()
    tune(data, chosen, starts=shared, seed=1, size=6)
    tune(data, chosen, starts=shared, seed=2)
    assert_same_bits(alone, tune(data, chosen, starts=shared, seed=3))

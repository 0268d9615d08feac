"""Every fast way of the engine can be switched off, and then gives the same training to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transfer_atlas.models.encoding import Encoding, FusedEncoding, LibraryEncoding, PaddedEncoding
from transfer_atlas.models.network import Network
from transfer_atlas.settings import Engine
from transfer_atlas.training import fit_and_score, starts
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.unit_examples import UnitExamples

OPTIONS: dict[str, dict[str, str]] = {
    "library layers": {"layers": "library"},
    "padded batches": {"batching": "padded"},
    "full vocabulary": {"vocabulary": "full"},
    "recomputed frozen states": {"frozen": "recomputed"},
}
# A large epsilon, so that rounding of vanishing gradients is not blown up to the size of the learning rate.
SETTINGS: dict[str, Any] = {"learning_rate": 3e-3, "adam_epsilon": 1e-3, "weight_decay": 5.0}


def assert_close(found: Trained, losses: list[float], expected: Trained, expected_losses: list[float]) -> None:
    """Stated tolerance: losses to 1e-4, weights to 1e-4 or 2e-6, predictions to 1e-3 or 1e-4."""
    assert losses == pytest.approx(expected_losses, rel=1e-4)
    assert found.weights is not None and expected.weights is not None
    assert found.weights.keys() == expected.weights.keys()
    for name, weight in expected.weights.items():
        torch.testing.assert_close(found.weights[name], weight, rtol=1e-4, atol=2e-6, msg=name)
    for split, scored in expected.splits.items():
        np.testing.assert_allclose(found.splits[split].outputs, scored.outputs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("frozen", [None, 1], ids=["all trained", "frozen layer"])
@pytest.mark.parametrize("kind", ["bert", "roberta"])
@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_off_is_on(
    option: dict[str, str],
    kind: str,
    frozen: int | None,
    load: Callable,
    task_data: Callable,
    recipe: Callable,
    tune: Callable,
    watch: Callable,
) -> None:
    encoder = load(kind)
    data, chosen = task_data("pair_classification", encoder), recipe(**SETTINGS, frozen_layers=frozen)
    fast, plain = watch(), watch()
    expected = tune(data, chosen, encoder=encoder, observer=fast)
    found = tune(data, chosen, encoder=encoder, observer=plain, engine=Engine(**option))
    assert abs(fast.losses[0] - fast.losses[-1]) > 0.01
    assert_close(found, plain.losses, expected, fast.losses)


@pytest.mark.parametrize("clip", [None, 0.5])
def test_the_vocabulary_does_not_shift_the_dropout_stream(
    clip: float | None, task_data: Callable, recipe: Callable, tune: Callable, watch: Callable
) -> None:
    data, chosen = task_data(), recipe(**SETTINGS, drop=0.2, clip=clip)
    compact, full = watch(), watch()
    expected = tune(data, chosen, observer=compact)
    found = tune(data, chosen, observer=full, engine=Engine(vocabulary="full"))
    assert_close(found, full.losses, expected, compact.losses)
    # The norm of the gradient is summed in another order.
    assert clip is not None or full.losses == compact.losses


def test_every_option_takes_another_way(
    task_data: Callable, recipe: Callable, tune: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the tests above would compare a way with itself."""
    taken: list[tuple[type, int, bool]] = []
    fit, encoding_of = fit_and_score.fit, starts.encoding_of
    ways: list[Encoding] = []

    def way(encoder: nn.Module, engine: Engine) -> Encoding:
        ways.append(encoding_of(encoder, engine))
        return ways[-1]

    def spy(model: nn.Module, examples: UnitExamples, *arguments: Any, **options: Any) -> Any:
        assert isinstance(model, Network)
        rows = len(model.encoder.get_input_embeddings().weight)  # type: ignore[operator]
        taken.append((type(ways[-1]), rows, examples.tokens.states is not None))
        return fit(model, examples, *arguments, **options)

    monkeypatch.setattr(fit_and_score, "fit", spy)
    monkeypatch.setattr(starts, "encoding_of", way)
    data = task_data()
    used = len(data.units["train"].tokens.vocabulary())
    for option in ({}, *OPTIONS.values()):
        tune(data, recipe(frozen_layers=1), engine=Engine(**option))
    assert taken == [
        (FusedEncoding, used, True),
        (LibraryEncoding, used, True),
        (PaddedEncoding, used, False),
        (FusedEncoding, 95, True),
        (FusedEncoding, used, False),
    ]


@pytest.mark.parametrize("kind", ["mpnet", "xlnet", "distilbert"])
def test_padded_encoders_learn_with_either_vocabulary(
    kind: str, load: Callable, task_data: Callable, recipe: Callable, tune: Callable, watch: Callable
) -> None:
    encoder = load(kind)
    data, chosen = task_data(encoder=encoder), recipe(**SETTINGS, dropout=0.1, clip=None)
    compact, full = watch(), watch()
    expected = tune(data, chosen, encoder=encoder, observer=compact)
    found = tune(data, chosen, encoder=encoder, observer=full, engine=Engine(vocabulary="full"))
    assert compact.losses[0] != compact.losses[-1]
    assert_close(found, full.losses, expected, compact.losses)

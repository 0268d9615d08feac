from __future__ import annotations

import numpy as np
import pytest
import torch

from transfer_atlas.training.targets import Scaling, outputs_of, scaled, unscaled


def test_outputs_of_a_head() -> None:
    assert outputs_of("sequence_classification", 4) == outputs_of("pair_classification", 4) == 4
    assert outputs_of("pair_regression", 4) == 1


def test_scores_are_standardised_and_brought_back() -> None:
    targets = torch.tensor([0.0, 1.0, 4.0, 5.0])
    scaling = Scaling.of(targets)
    assert scaling is not None
    inside = scaled(targets, scaling)
    assert float(inside.mean()) == pytest.approx(0.0, abs=1e-6)
    assert float(inside.std(correction=0)) == pytest.approx(1.0)
    outputs = unscaled(inside.numpy()[:, None], scaling)
    assert outputs.dtype == np.float32
    assert outputs[:, 0] == pytest.approx(targets.numpy(), abs=1e-6)


def test_equal_scores_are_only_centred() -> None:
    targets = torch.full((4,), 3.0)
    scaling = Scaling.of(targets)
    assert scaling is not None
    assert scaled(targets, scaling).tolist() == [0.0] * 4
    assert unscaled(np.zeros((2, 1), np.float32), scaling).tolist() == [[3.0], [3.0]]


def test_classes_are_left_alone() -> None:
    targets = torch.tensor([0, 2, 1])
    assert Scaling.of(targets) is None
    assert scaled(targets, None) is targets
    outputs = np.ones((3, 3), np.float32)
    assert unscaled(outputs, None) is outputs

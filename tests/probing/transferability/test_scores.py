"""Which score reads the labels how."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

from transfer_atlas.probing.transferability import scores
from transfer_atlas.probing.transferability.h_score import h_score
from transfer_atlas.probing.transferability.labels import quantile_bins
from transfer_atlas.probing.transferability.leep import leep
from transfer_atlas.probing.transferability.log_me import log_me
from transfer_atlas.probing.transferability.measures import OF_OUTPUTS, OF_STATES
from transfer_atlas.probing.transferability.nce import nce

RNG = np.random.default_rng(1)
STATES, LOGITS = RNG.normal(size=(50, 6)), RNG.normal(size=(50, 3))
CLASSES, SCORES = RNG.integers(0, 4, 50), RNG.normal(size=50)


def test_states_and_classes() -> None:
    found = scores.of_states(STATES, CLASSES, classes=True)
    assert tuple(found) == OF_STATES
    assert found["log_me"] == log_me(STATES, CLASSES, classes=True) and found["h_score"] == h_score(STATES, CLASSES)


def test_scores_are_binned_for_the_h_scores_only() -> None:
    found = scores.of_states(STATES, SCORES, classes=False)
    assert found["log_me"] == log_me(STATES, SCORES, classes=False)
    assert found["h_score"] == h_score(STATES, quantile_bins(SCORES))
    assert found["h_score_shrunk"] != found["h_score"]


def test_outputs_of_classes() -> None:
    found = scores.of_outputs(LOGITS, CLASSES, source_classes=True, classes=True)
    assert tuple(found) == OF_OUTPUTS
    assert found["leep"] == pytest.approx(leep(softmax(LOGITS, axis=1), CLASSES))
    assert found["nce"] == nce(LOGITS.argmax(axis=1), CLASSES)
    binned = scores.of_outputs(LOGITS, SCORES, source_classes=True, classes=False)
    assert binned["nce"] == nce(LOGITS.argmax(axis=1), quantile_bins(SCORES))


def test_a_source_of_scores_has_no_leep() -> None:
    found = scores.of_outputs(SCORES[:, None], SCORES, source_classes=False, classes=False)
    assert math.isnan(found["leep"]) and found["nce"] == 0


def test_what_diverged_or_is_not_there_has_no_score() -> None:
    broken = np.where(STATES > 1.5, np.nan, STATES)
    assert all(map(math.isnan, scores.of_states(broken, CLASSES, classes=True).values()))
    for outputs in (None, np.full((50, 3), np.inf)):
        found = scores.of_outputs(outputs, CLASSES, source_classes=True, classes=True)
        assert all(map(math.isnan, found.values()))

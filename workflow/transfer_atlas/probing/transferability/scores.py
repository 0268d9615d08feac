"""All scores of a state, or of what a source head says, on a target's examples: which exist, and of which labels."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import softmax

from transfer_atlas.probing.transferability.h_score import h_score, h_score_shrunk
from transfer_atlas.probing.transferability.labels import quantile_bins
from transfer_atlas.probing.transferability.leep import leep
from transfer_atlas.probing.transferability.log_me import log_me
from transfer_atlas.probing.transferability.measures import (
    H_SCORE,
    H_SCORE_SHRUNK,
    LEEP,
    LOG_ME,
    NCE,
    OF_OUTPUTS,
    OF_STATES,
)
from transfer_atlas.probing.transferability.nce import nce


def of_states(states: np.ndarray, labels: np.ndarray, *, classes: bool) -> dict[str, float]:
    """The measures `OF_STATES` of states [N, H] and labels [N]; NaN for states that a diverged training left.

    Scores of regression are fitted as they are by LogME, and put into quantile bins for the H-scores.
    """
    if not np.isfinite(states).all():
        return dict.fromkeys(OF_STATES, math.nan)
    groups = labels if classes else quantile_bins(labels)
    return {
        LOG_ME: log_me(states, labels, classes=classes),
        H_SCORE: h_score(states, groups),
        H_SCORE_SHRUNK: h_score_shrunk(states, groups),
    }


def of_outputs(
    outputs: np.ndarray | None, labels: np.ndarray, *, source_classes: bool, classes: bool
) -> dict[str, float]:
    """The measures `OF_OUTPUTS` of a source head's outputs and the target's labels [N].

    Scores of regression, the target's and those that the source head gives, are put into quantile bins. LEEP needs
    probabilities of source classes: NaN where the source task has none. Both are NaN without outputs.

    Args:
        outputs: [N, Z] logits of the source classes; [N, 1] scores of a regression head.
        labels: [N] of the target.
        source_classes: whether the source task has classes.
        classes: whether the target has classes.
    """
    if outputs is None or not np.isfinite(outputs).all():
        return dict.fromkeys(OF_OUTPUTS, math.nan)
    groups = labels if classes else quantile_bins(labels)
    if not source_classes:
        return {LEEP: math.nan, NCE: nce(quantile_bins(outputs[:, 0]), groups)}
    logits = np.asarray(outputs, dtype=np.float64)
    return {LEEP: leep(softmax(logits, axis=1), groups), NCE: nce(logits.argmax(axis=1), groups)}

"""What each layer knows of a task's labels, before and after fine-tuning, with its random controls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from transfer_atlas.probing.linear import probe
from transfer_atlas.probing.mutual_information import mutual_information
from transfer_atlas.probing.names import MUTUAL_INFORMATION, PROBE, RANDOM_LABELS, RANDOM_STATES
from transfer_atlas.streams import stream_seed


@dataclass(frozen=True)
class Split:
    """Pooled states [N, layers + 1, H], the embeddings first, and labels [N] of one split."""

    states: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Value:
    """What one measure found in one layer of one state."""

    state: str
    layer: int
    measure: str
    metric: str
    """The task's metric for `probe`, `bits` for `mutual_information`."""
    value: float
    n: int
    """Examples of validation that the value was measured on."""


def probes(
    states: Mapping[str, tuple[Split, Split]], layers: Sequence[int], task_type: str, metric: str
) -> Iterator[Value]:
    """A linear probe of each layer, fitted on train and scored on validation: `states` holds (train, validation)."""
    for state, (train, validation) in states.items():
        for layer in layers:
            value = probe(
                train.states[:, layer],
                train.labels,
                validation.states[:, layer],
                validation.labels,
                task_type,
                metric,
            )
            yield Value(state, layer, PROBE, metric, value, len(validation.labels))


def informations(validations: Mapping[str, Split], layers: Sequence[int], task_type: str, seed: int) -> Iterator[Value]:
    """Mutual information of states and labels in each layer, and of both controls, made from the first state given.

    Every layer and state is hashed with the same projections, so their differences hold less of the projections' luck.
    """
    first = next(iter(validations.values()))
    control = np.random.default_rng(stream_seed(seed, "control"))
    shuffled = Split(first.states, control.permutation(first.labels))
    for state, split in {**validations, RANDOM_LABELS: shuffled, RANDOM_STATES: first}.items():
        for layer in layers:
            states = split.states[:, layer]
            value = mutual_information(
                control.standard_normal(states.shape) if state == RANDOM_STATES else states,
                split.labels,
                classes=task_type != "pair_regression",
                rng=np.random.default_rng(stream_seed(seed, "hashing")),
            )
            yield Value(state, layer, MUTUAL_INFORMATION, "bits", value, len(split.labels))

"""Transferability scores of one model, intermediate entry and target, from stored representations."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from safetensors import safe_open
from threadpoolctl import threadpool_limits

from transfer_atlas import atomic, plan
from transfer_atlas.analysis import domain
from transfer_atlas.layout import Layout
from transfer_atlas.plan import Scored, State
from transfer_atlas.probing.transferability import scores
from transfer_atlas.probing.transferability.domain_distance import centroid_distance, proxy_a_distance
from transfer_atlas.probing.transferability.measures import (
    CENTROID_DISTANCE,
    COLUMNS,
    PROXY_A_DISTANCE,
    TERM_DIVERGENCE,
)
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.overlap import row_texts
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.tasks.subsets import nested_subset

# Which training examples are read: those that a run of this seed and size would see.
SUBSET_SEED = 0
REGRESSION = "pair_regression"


@dataclass(frozen=True)
class Value:
    """A score of a state: the pretrained one's without `seed`, or after the intermediate training of that seed.

    `gain_of_score` is what it is above the pretrained state's; None where that has none.
    """

    seed: int | None
    measure: str
    value: float
    gain_of_score: float | None


def run(settings: Settings, place: Scored, output: Path) -> None:
    """Write the scores as the table `output` (csv, `measures.COLUMNS`); what is undefined is empty.

    Raises:
        UserError: a prepared task is missing.
    """
    source_task = settings.tasks[settings.intermediates[place.intermediate].task]
    target = read_split(plan.task_folder(place.task), "train")
    rows = _rows(target, place.examples)
    labels, classes = target.labels[rows], settings.tasks[place.task].type != REGRESSION
    # More threads would add up in another order, and give other last digits.
    with threadpool_limits(limits=1):
        before = scores.of_states(_features(settings, place.pretrained, rows), labels, classes=classes)
        found = [Value(None, measure, value, None) for measure, value in before.items()]
        found += [Value(None, measure, value, None) for measure, value in _distances(settings, place, target).items()]
        for seed, state in place.trained.items():
            after = scores.of_states(_features(settings, state, rows), labels, classes=classes)
            found += [Value(seed, measure, value, value - before[measure]) for measure, value in after.items()]
            said = scores.of_outputs(
                _outputs(settings, place, state, rows),
                labels,
                source_classes=source_task.type != REGRESSION,
                classes=classes,
            )
            found += [Value(seed, measure, value, None) for measure, value in said.items()]
    where = {"model": place.model, "intermediate": place.intermediate, "task": place.task, "examples": len(rows)}
    with atomic.replacing(output) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(COLUMNS), lineterminator="\n")
        table.writeheader()
        for value in found:
            table.writerow({**where, **_written(asdict(value))})
            of = "pretrained" if value.seed is None else f"{place.intermediate}, seed {value.seed}"
            print(f"{of}: {value.measure} {value.value:.4f}", flush=True)


def _written(row: Mapping[str, object]) -> dict[str, object]:
    """A row as it is written: what is undefined is empty, as in all tables."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def _rows(examples: Examples, most: int) -> np.ndarray:
    return nested_subset(len(examples), min(most, len(examples)), SUBSET_SEED)


def _last_layer(state: State, layout: Layout, rows: np.ndarray) -> np.ndarray:
    """[n, H] stored states of these training examples."""
    stored = storage.read_split(plan.representation_folder(state, layout.name), "train")
    return np.asarray(stored.states[:, -1][rows])


def _features(settings: Settings, state: State, rows: np.ndarray) -> np.ndarray:
    return _last_layer(state, plan.probed_layout(settings, state), rows)


def _distances(settings: Settings, place: Scored, target: Examples) -> dict[str, float]:
    """How far the intermediate task's texts are from the target's, as terms and for the pretrained encoder."""
    source_state = plan.source_on_own_task(settings, place)
    source = read_split(plan.task_folder(source_state.task), "train")
    rows = [_rows(examples, place.examples) for examples in (source, target)]
    terms = domain.divergence(_texts(source, rows[0]), _texts(target, rows[1]))
    states = _features(settings, source_state, rows[0]), _features(settings, place.pretrained, rows[1])
    # Pairs that ELMo encodes separately are wider than single texts.
    alike = states[0].shape[1] == states[1].shape[1]
    return {
        TERM_DIVERGENCE: terms,
        CENTROID_DISTANCE: centroid_distance(*states) if alike else math.nan,
        PROXY_A_DISTANCE: proxy_a_distance(*states) if alike else math.nan,
    }


def _texts(examples: Examples, rows: np.ndarray) -> Iterator[str]:
    texts = row_texts(examples)
    return chain.from_iterable(texts[row] for row in rows)


def _outputs(settings: Settings, place: Scored, state: State, rows: np.ndarray) -> np.ndarray | None:
    """[n, Z] what the intermediate training's head says of these target examples; None where it cannot read them."""
    layout = plan.head_layout(settings, place)
    if layout is None:
        return None
    with safe_open(plan.weights_file(state), framework="numpy") as weights:
        kernel, bias = (weights.get_tensor(f"head.output.{name}").astype(np.float64) for name in ("weight", "bias"))
    outputs: np.ndarray = _last_layer(state, layout, rows) @ kernel.T + bias
    return outputs

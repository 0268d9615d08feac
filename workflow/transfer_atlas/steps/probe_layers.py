"""Layer diagnostics of one fine-tuned run: what the pretrained and the fine-tuned states know of the labels."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from transfer_atlas import atomic, plan
from transfer_atlas.analysis.diagnostics import COLUMNS, FINETUNED, PRETRAINED
from transfer_atlas.errors import UserError
from transfer_atlas.plan import State
from transfer_atlas.probing.layers import Split, informations, probes
from transfer_atlas.probing.names import MUTUAL_INFORMATION, PROBE
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.tasks.storage import read_split


@dataclass(frozen=True)
class Place:
    """The run that is looked into."""

    model: str
    task: str
    recipe: str
    size: str
    seed: int


def read_states(settings: Settings, state: State) -> dict[str, tuple[Split, Split]]:
    """Stored train and validation of the pretrained state and of `state`, after fine-tuning.

    Raises:
        UserError: The training that made `state` diverged.
    """
    layout = plan.probed_layout(settings, state)
    found = {}
    for name, one in ((PRETRAINED, State(state.model, plan.NONE, state.task, None)), (FINETUNED, state)):
        stored = plan.representation_folder(one, layout.name)
        train, validation = (
            Split(storage.read_split(stored, split).states, read_split(plan.task_folder(state.task), split).labels)
            for split in ("train", "validation")
        )
        if not all(np.isfinite(split.states).all() for split in (train, validation)):
            raise UserError(
                f"{stored}: holds states that are not finite, as a training that diverged leaves them; "
                f"lower the learning rate of recipes.{state.recipe}, or leave seed {state.seed} out of diagnostics"
            )
        found[name] = (train, validation)
    return found


def run(
    place: Place,
    states: Mapping[str, tuple[Split, Split]],
    task_type: str,
    metric: str,
    measures: Sequence[str],
    output: Path,
) -> None:
    """Write the diagnostics of all layers as the table `output` (csv, `analysis.diagnostics.COLUMNS`).

    Args:
        states: train and validation by state, `pretrained` before `finetuned`: the controls are made from the first.
        metric: what probes are scored in; a metric of words or texts, not of spans.
        measures: of `probe` and `mutual_information`.
    """
    layers = range(next(iter(states.values()))[0].states.shape[1])
    found = {
        PROBE: probes(states, layers, task_type, metric),
        MUTUAL_INFORMATION: informations(
            {state: validation for state, (_, validation) in states.items()}, layers, task_type, place.seed
        ),
    }
    # More threads would add up in another order, and give other last digits.
    with (
        threadpool_limits(limits=1),
        atomic.replacing(output) as temporary,
        open(temporary, "w", encoding="utf-8", newline="") as stream,
    ):
        table = csv.DictWriter(stream, list(COLUMNS), lineterminator="\n")
        table.writeheader()
        for value in chain.from_iterable(found[measure] for measure in measures):
            table.writerow({**asdict(place), **asdict(value)})
            print(f"{value.state}, layer {value.layer}: {value.measure} {value.value:.4f} {value.metric}", flush=True)

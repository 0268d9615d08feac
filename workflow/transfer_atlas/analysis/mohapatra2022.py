"""The numbers of Mohapatra & Mohapatra 2022 that a user gave, beside those of our cells that play the same part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from transfer_atlas.analysis.claims.mohapatra2022.subject import MODELS, Subject, paper_model
from transfer_atlas.analysis.evidence import BySeed, mean_by_seed
from transfer_atlas.analysis.intervals import NAN, estimate
from transfer_atlas.analysis.published.user import PrintedGain
from transfer_atlas.analysis.samples import ESTIMATE
from transfer_atlas.analysis.transfer_evidence import Gain, TransferEvidence

COLUMNS = {
    **dict.fromkeys(("model", "task", "setting", "metric"), "str"),
    **dict.fromkeys(("published_with", "published_without", "published_difference", "with", "without"), "float64"),
    **dict.fromkeys(ESTIMATE, "float64"),
    "n": "int64",
    "cells": "int64",
    "models": "str",
    "tasks": "str",
}


def beside_published(known: TransferEvidence, printed: Sequence[PrintedGain]) -> pd.DataFrame:
    """A row for each printed score pair, in points; `mean` to `high` are of our difference, over seeds.

    Ours is the mean over all cells of that model, setting and main metric whose target is called so by its
    `paper_name` or is of the family called so, each at its largest train size, at the seeds that all of them have.
    """
    subject = Subject.of(known)
    rows = [_row(number, [gain for gain in subject.cells if _plays(subject, gain, number)]) for number in printed]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _plays(subject: Subject, gain: Gain, number: PrintedGain) -> bool:
    evidence = subject.known.evidence
    target = evidence.tasks[gain.task]
    named = {name.casefold() for name in (target.paper_name, gain.family) if name}
    ours, theirs = evidence.models[gain.model].paper_name or "", _as_ours(number.model)
    return (
        theirs in (ours, paper_model(ours))
        and number.task.casefold() in named
        and number.setting == gain.setting
        and number.metric == target.main_metric
    )


def _as_ours(model: str) -> str:
    """The paper's model as our entries call it, whatever the capitals."""
    return next((name for name in MODELS if name.casefold() == model.casefold()), model)


def _row(number: PrintedGain, cells: Sequence[Gain]) -> dict[str, Any]:
    gains = mean_by_seed([cell.largest.by_seed for cell in cells])
    found = estimate(list(gains.values()))
    return {
        **{name: getattr(number, name) for name in ("model", "task", "setting", "metric")},
        "published_with": _known(number.after),
        "published_without": _known(number.without),
        "published_difference": _known(number.difference),
        "with": _mean([cell.largest.left.test for cell in cells], gains),
        "without": _mean([cell.largest.right.test for cell in cells], gains),
        **{name: getattr(found, name) for name in ESTIMATE},
        "cells": len(cells),
        "models": ", ".join(dict.fromkeys(cell.model for cell in cells)),
        "tasks": ", ".join(dict.fromkeys(cell.task for cell in cells)),
    }


def _known(value: float | None) -> float:
    return NAN if value is None else value


def _mean(sides: Sequence[BySeed], seeds: Iterable[int]) -> float:
    """The mean over sides, at these seeds only: those of which the difference is told."""
    by_seed = mean_by_seed(sides)
    return estimate([by_seed[seed] for seed in seeds]).mean

"""Numbers as the papers print them, one csv a paper.

`source` says where each was read; `verified` is `no` for numbers from memory, which are shown but never a threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean

import pandas as pd


@dataclass(frozen=True)
class Published:
    """A published number in the paper's units; `metric` is None for a mean over several."""

    value: float
    metric: str | None
    verified: bool


@cache
def read(paper: str) -> pd.DataFrame:
    """All numbers of a paper: table, model, task, group, setting, split, metric, value, runs, source, verified."""
    table = pd.read_csv(Path(__file__).parent / f"{paper}.csv", dtype="str", keep_default_na=False)
    return table.assign(value=table["value"].astype("float64"), verified=table["verified"] == "yes")


def find(paper: str, table: str, model: str, task: str, setting: str, group: str = "") -> Published | None:
    """The number at this place of a paper's table, or None where it has none (or none is known)."""
    return _by_place(paper).get((table, model, task, setting, group))


def minus(left: Published | None, right: Published | None) -> Published | None:
    """The difference of two numbers, where both are known."""
    if left is None or right is None:
        return None
    metric = left.metric if left.metric == right.metric else None
    return Published(round(left.value - right.value, 3), metric, left.verified and right.verified)


def mean(numbers: Sequence[Published | None]) -> Published | None:
    """The mean of numbers, where all are known."""
    known = [number for number in numbers if number is not None]
    if not known or len(known) < len(numbers):
        return None
    (metric, *others) = {number.metric for number in known}
    verified = all(number.verified for number in known)
    return Published(round(fmean(number.value for number in known), 3), None if others else metric, verified)


@cache
def _by_place(paper: str) -> dict[tuple[str, ...], Published]:
    places = ["table", "model", "task", "setting", "group"]
    return {
        tuple(row[name] for name in places): Published(row["value"], row["metric"], row["verified"])
        for row in read(paper).to_dict("records")
    }

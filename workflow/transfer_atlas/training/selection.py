"""Which candidate of a search is chosen. It is told scores on validation and nothing else, so test cannot decide."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

C = TypeVar("C", bound=Hashable)


def validation_score(result: Mapping[str, Any], metric: str) -> float | None:
    """A finished run's `metric` on validation; None where the training diverged, whatever its predictions score."""
    if result["facts"]["diverged"]:
        return None
    (value,) = (v["value"] for v in result["values"] if (v["split"], v["metric"]) == ("validation", metric))
    return float(value)


def mean_score(scores: Sequence[float | None]) -> float:
    """Mean over a candidate's seeds; below all others where one of its trainings diverged."""
    found = [score for score in scores if score is not None]
    return math.fsum(found) / len(found) if len(found) == len(scores) else -math.inf


def choose(scores: Mapping[C, Sequence[float | None]]) -> C:
    """The candidate with the best mean score; of equal ones the first.

    Args:
        scores: the scores on validation of each candidate's seeds (None: that training diverged).
    """
    return max(scores, key=lambda candidate: mean_score(scores[candidate]))

"""What an intermediate task must not show: texts on which tasks trained after it are chosen or scored."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import text_keys
from transfer_atlas.tasks.overlap import row_texts

# Splits of an intermediate task that are trained on or choose an epoch, and splits of later tasks that they must not
# share a text with.
CLEANED = ("train", "validation")
EVALUATION = ("validation", "test")


@dataclass(frozen=True)
class Contamination:
    """The rows of a split that hold an evaluation text of a later task.

    Attributes:
        rows: Of the split.
        left_out: Their ids, in the order of the split.
        shared: How many of them each later task is the reason for; a row may have several.
    """

    rows: int
    left_out: list[str]
    shared: dict[str, int]


def contamination(split: Examples, evaluation: Mapping[str, Set[str]]) -> Contamination:
    """Compare a split with the normalised evaluation texts of each later task (`overlap.forbidden_keys`)."""
    left_out = []
    shared = dict.fromkeys(evaluation, 0)
    for id_, texts in zip(split.ids, row_texts(split), strict=True):
        keys = text_keys(texts)
        reasons = [task for task, forbidden in evaluation.items() if not keys.isdisjoint(forbidden)]
        for task in reasons:
            shared[task] += 1
        if reasons:
            left_out.append(id_)
    return Contamination(len(split), left_out, shared)

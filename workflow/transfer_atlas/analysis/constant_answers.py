"""What an answer that never looks at the text would score, and whether runs are better than that.

A side of a comparison *is better than a constant answer* when its whole 95 % interval over seeds lies above the score
of the best constant answer; with one seed, when its score does. Two sides of which neither is better have learnt
nothing that could be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transfer_atlas.analysis.intervals import estimate

Counts = Mapping[str, int]
"""Number of rows (of words, where words have labels) by label."""

# Points by which equal scores may differ: those of runs are stored as shares and averaged over seeds.
ROUNDING = 1e-6


def constant_score(metric: str, counts: Counts | None) -> float | None:
    """The metric of the best constant answer on labels that are distributed so; None if that takes unknown counts.

    0 for correlations, which constant answers do not have, and for spans, of which answering O finds none.
    """
    if metric not in ("accuracy", "macro_f1"):
        return 0.0
    if not counts or not any(counts.values()):
        return None
    largest, total = max(counts.values()), sum(counts.values())
    if metric == "accuracy":
        return largest / total
    # F1 of the one class that is answered, 0 of the others that occur.
    return 2 * largest / (total + largest) / sum(count > 0 for count in counts.values())


def better(scores: Mapping[int, float], constant: float) -> bool:
    """Whether scores by seed are better than a constant answer; both in points."""
    found = estimate(list(scores.values()))
    return (found.mean if found.n == 1 else found.low) > constant + ROUNDING


def neither_better(sides: Sequence[Mapping[int, float]], constant: float | None) -> bool:
    """Whether no side is better than a constant answer, in points.

    Where that answer's score is unknown: whether all sides have one and the same score at every seed.
    """
    if constant is not None:
        return not any(better(side, constant) for side in sides)
    values = [value for side in sides for value in side.values()]
    return all(len(side) > 1 for side in sides) and max(values) - min(values) <= ROUNDING

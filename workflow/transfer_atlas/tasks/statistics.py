"""What a researcher wants to know of a data set before training on it: results/tasks/<task>/stats.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from transfer_atlas import identity
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import normalise, row_keys
from transfer_atlas.tasks.overlap import row_texts

Splits = dict[str, Examples]


def content_digest(task_type: str, labels: list[str] | None, score_range: list[float] | None, splits: Splits) -> str:
    """Digest of everything training sees: type, labels, score range and the canonical rows of each split in order."""
    rows = {split: _rows_digest(examples) for split, examples in splits.items()}
    return identity.digest_of({"type": task_type, "labels": labels, "score_range": score_range, "rows": rows})


def _rows_digest(examples: Examples) -> str:
    digest = hashlib.sha256()
    pairs: Sequence[str | None] = examples.pairs if examples.pairs is not None else [None] * len(examples)
    for row in zip(examples.ids, examples.texts, pairs, examples.labels.tolist(), strict=True):
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8"))
        digest.update(b"\n")
    return digest.hexdigest()


def describe(labels: list[str] | None, splits: Splits) -> dict[str, Any]:
    """The part of `stats.json` that is counted on the rows.

    Returns:
        rows, label_counts (classification) or scores (regression), words and characters of a row (both texts of a
        pair together), duplicates, label_conflicts and overlap; the three last compare normalised texts.
    """
    keys = {split: row_keys(examples.texts, examples.pairs) for split, examples in splits.items()}
    distinct = {split: set(values) for split, values in keys.items()}
    return {
        "rows": {split: len(examples) for split, examples in splits.items()},
        "label_counts": None if labels is None else {s: _label_counts(e, labels) for s, e in splits.items()},
        "scores": None if labels is not None else {s: _score_summary(e) for s, e in splits.items()},
        "words": {s: _lengths([sum(len(t.split()) for t in r) for r in row_texts(e)]) for s, e in splits.items()},
        "characters": {s: _lengths([sum(len(t) for t in r) for r in row_texts(e)]) for s, e in splits.items()},
        "duplicates": {split: len(keys[split]) - len(distinct[split]) for split in splits},
        "label_conflicts": label_conflicts(splits),
        "overlap": {
            f"{split}_in_{other}": sum(key in distinct[other] for key in keys[split])
            for split, other in (("validation", "train"), ("test", "train"), ("test", "validation"))
        },
    }


def label_conflicts(splits: Splits) -> int:
    """How many normalised texts have more than one label, over all splits.

    The two texts of a pair keep their order here: A may entail B where B does not entail A.
    """
    labels: dict[tuple[str, ...], set[int | float]] = {}
    for examples in splits.values():
        for texts, label in zip(row_texts(examples), examples.labels.tolist(), strict=True):
            labels.setdefault(tuple(map(normalise, texts)), set()).add(label)
    return sum(len(found) > 1 for found in labels.values())


def _label_counts(examples: Examples, labels: list[str]) -> dict[str, int]:
    counts = np.bincount(examples.labels.astype(np.int64), minlength=len(labels))
    return {label: int(count) for label, count in zip(labels, counts, strict=True)}


def _score_summary(examples: Examples) -> dict[str, float | None]:
    scores = examples.labels
    sd = round(float(scores.std(ddof=1)), 6) if len(scores) > 1 else None
    return {"mean": round(float(scores.mean()), 6), "sd": sd, "min": float(scores.min()), "max": float(scores.max())}


def _lengths(values: list[int]) -> dict[str, float]:
    return {"mean": round(sum(values) / len(values), 3), "median": float(median(values)), "max": max(values)}


def summary_lines(stats: dict[str, Any]) -> list[str]:
    """`stats.json` as a few lines for people."""
    rows = stats["rows"]
    lines = [f"{stats['task']}: {stats['type']}, {sum(rows.values())} rows"]
    for split, count in rows.items():
        notes = [f"{stats['words'][split]['median']:g} words (median), {stats['words'][split]['max']} at most"]
        if stats["duplicates"][split]:
            notes.append(f"{stats['duplicates'][split]} duplicates")
        if split in stats["carved"]:
            notes.append("carved from train")
        if split in stats["limited"]:
            notes.append(f"limited from {stats['limited'][split]}")
        lines.append(f"  {split:<10} {count:>7} rows: {_labels_line(stats, split)}; {', '.join(notes)}")
    shared = {name.replace("_", " "): count for name, count in stats["overlap"].items() if count}
    if shared:
        lines.append("  same text: " + ", ".join(f"{count} of {name}" for name, count in shared.items()))
    if stats["label_conflicts"]:
        lines.append(f"  {stats['label_conflicts']} texts have more than one label")
    if stats["dropped"]:
        lines.append("  dropped: " + ", ".join(f"{count} {reason}" for reason, count in stats["dropped"].items()))
    untrained = _untrained_classes(stats)
    if untrained:
        lines.append(f"  no training rows for {', '.join(untrained)}")
    return lines


def _labels_line(stats: dict[str, Any], split: str, most: int = 6) -> str:
    if stats["label_counts"] is None:
        scores = stats["scores"][split]
        return f"scores {scores['min']:g} to {scores['max']:g}, mean {scores['mean']:.3g}"
    counts = sorted(stats["label_counts"][split].items(), key=lambda item: -item[1])
    text = ", ".join(f"{label} {count}" for label, count in counts[:most])
    return text if len(counts) <= most else f"{text} and {len(counts) - most} more classes"


def _untrained_classes(stats: dict[str, Any]) -> list[str]:
    counts = stats["label_counts"]
    return [] if counts is None else [label for label, count in counts["train"].items() if not count]

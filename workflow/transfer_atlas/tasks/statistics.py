"""What a researcher wants to know of a data set before training on it: results/tasks/<task>/stats.json."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from transfer_atlas import identity
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import normalise, row_keys
from transfer_atlas.tasks.overlap import row_texts
from transfer_atlas.tasks.tags import spans_of, types_of

Splits = dict[str, Examples]


def content_digest(task_type: str, labels: list[str] | None, score_range: list[float] | None, splits: Splits) -> str:
    """Digest of everything training sees: type, labels, score range and the canonical rows of each split in order."""
    rows = {split: _rows_digest(examples) for split, examples in splits.items()}
    return identity.digest_of({"type": task_type, "labels": labels, "score_range": score_range, "rows": rows})


def _rows_digest(examples: Examples) -> str:
    digest = hashlib.sha256()
    pairs: Sequence[str | None] = examples.pairs if examples.pairs is not None else [None] * len(examples)
    columns: list[Sequence[Any]] = [examples.ids, examples.texts, pairs, _row_labels(examples)]
    if examples.groups is not None:
        columns.append(examples.groups)
    for row in zip(*columns, strict=True):
        digest.update(json.dumps(row, ensure_ascii=False).encode("utf-8"))
        digest.update(b"\n")
    # The words are those of the text.
    if examples.spans is not None:
        digest.update(examples.spans.astype("<i8").tobytes())
    return digest.hexdigest()


def _row_labels(examples: Examples) -> list[Any]:
    """The label of each row; where every word has one, a tuple of them."""
    labels = examples.labels.tolist()
    if not examples.labels_words:
        return labels
    return [tuple(labels[start:end]) for start, end in pairwise(examples.offsets.tolist())]


def describe(labels: list[str] | None, splits: Splits) -> dict[str, Any]:
    """The part of `stats.json` that is counted on the rows.

    Returns:
        rows, label_counts (classification; of words where each has a label) or scores (regression), words and
        characters of a row (both texts of a pair together), groups, duplicates, label_conflicts and overlap; the three
        last compare normalised texts.
    """
    keys = {split: row_keys(examples.texts, examples.pairs) for split, examples in splits.items()}
    distinct = {split: set(values) for split, values in keys.items()}
    return {
        "rows": {split: len(examples) for split, examples in splits.items()},
        "label_counts": None if labels is None else {s: _label_counts(e, labels) for s, e in splits.items()},
        "scores": None if labels is not None else {s: _score_summary(e) for s, e in splits.items()},
        "words": {s: _lengths(_per_row(e, lambda text: len(text.split()))) for s, e in splits.items()},
        "characters": {s: _lengths(_per_row(e, len)) for s, e in splits.items()},
        "groups": {s: dict(sorted(Counter(e.groups).items())) for s, e in splits.items() if e.groups is not None},
        "duplicates": {s: len(keys[s]) - len(set(_rows_apart(keys[s], e))) for s, e in splits.items()},
        "label_conflicts": label_conflicts(splits),
        "overlap": {
            f"{split}_in_{other}": sum(key in distinct[other] for key in keys[split])
            for split, other in (("validation", "train"), ("test", "train"), ("test", "validation"))
        },
    }


def _per_row(examples: Examples, measure: Callable[[str], int]) -> list[int]:
    measured = cache(measure)
    return [sum(map(measured, texts)) for texts in row_texts(examples)]


def _rows_apart(keys: Iterable[Hashable], examples: Examples) -> Iterable[Hashable]:
    """The keys of rows, told apart by the spans that they mark."""
    if examples.spans is None:
        return keys
    return zip(keys, *examples.spans.reshape(-1, 4).T.tolist(), strict=True)


def label_conflicts(splits: Splits) -> int:
    """How many normalised texts have more than one label, over all splits; with the spans marked in them, if any.

    The two texts of a pair keep their order here: A may entail B where B does not entail A. Texts whose words have
    labels are compared where they have as many words.
    """
    labels: dict[Hashable, Any] = {}
    conflicts: set[Hashable] = set()
    normalised = cache(normalise)
    for examples in splits.values():
        keys = _rows_apart([tuple(map(normalised, texts)) for texts in row_texts(examples)], examples)
        for key, label in zip(keys, _row_labels(examples), strict=True):
            place = (key, len(label)) if isinstance(label, tuple) else key
            if labels.setdefault(place, label) != label:
                conflicts.add(place)
    return len(conflicts)


def spans_by_type(labels: list[str], splits: Splits) -> dict[str, dict[str, int]]:
    """How many spans of each type the labels of words mark, for each split."""
    types = types_of(labels)
    counts: dict[str, dict[str, int]] = {}
    for split, examples in splits.items():
        rows = ([labels[index] for index in row] for row in _row_labels(examples))
        found = Counter(kind for tags in rows for kind, _, _ in spans_of(tags))
        counts[split] = {kind: found[kind] for kind in types}
    return counts


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
    for what, counts in _passed_over(stats).items():
        lines.append(f"  {what}: " + ", ".join(f"{count} in {split}" for split, count in counts.items()))
    untrained = _untrained_classes(stats)
    if untrained:
        lines.append(f"  no training rows for {', '.join(untrained)}")
    return lines


def _labels_line(stats: dict[str, Any], split: str, most: int = 6) -> str:
    if stats["label_counts"] is None:
        scores = stats["scores"][split]
        return f"scores {scores['min']:g} to {scores['max']:g}, mean {scores['mean']:.3g}"
    counts = sorted(_counts(stats)[split].items(), key=lambda item: -item[1])
    text = ", ".join(f"{label} {count}" for label, count in counts[:most])
    return text if len(counts) <= most else f"{text} and {len(counts) - most} more classes"


def _counts(stats: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Of each split how many rows or words have each label, or, where labels mark spans, how many spans each type."""
    counts: dict[str, dict[str, int]] = stats.get("spans") or stats["label_counts"]
    return counts


def _passed_over(stats: dict[str, Any]) -> dict[str, dict[str, int]]:
    """What was left out of files or brought into canonical form, and how often for each split that has some."""
    counts = {f"skipped {what}": by_split for what, by_split in stats.get("skipped", {}).items()}
    counts |= {
        "spans that begin with I- or E-": stats.get("starts_with_I", {}),
        "words with white space, now _": stats.get("words_with_white_space", {}),
    }
    return {what: found for what, by_split in counts.items() if (found := {s: n for s, n in by_split.items() if n})}


def _untrained_classes(stats: dict[str, Any]) -> list[str]:
    if stats["label_counts"] is None:
        return []
    return [label for label, count in _counts(stats)["train"].items() if not count]

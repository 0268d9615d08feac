"""A task's files become canonical splits and a description of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transfer_atlas import atomic
from transfer_atlas.settings import WORD_TYPES, Task
from transfer_atlas.tasks import canonical, splits, statistics, storage
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.normalise import row_keys


def run(name: str, task: Task, source: Path, output: Path) -> None:
    """Write train, validation and test.parquet and stats.json of a task.

    Args:
        name: the task's entry in `tasks`.
        task: its settings.
        source: folder that `task.files` are relative to.
        output: results/tasks/<name>.

    Raises:
        UserError: for anything wrong with the settings, the files or their rows.
    """
    read = canonical.read_task(name, task, source)
    for line in canonical.bad_row_lines(read.bad_rows):
        print(line)
    parts, carved = _carved(name, task, read.splits)
    parts, limited = _limited(name, task, parts)
    stats: dict[str, Any] = {
        "task": name,
        "type": task.type,
        "labels": read.labels,
        "score_range": task.score_range,
        "carved": carved,
        "limited": limited,
        "dropped": read.dropped,
        "digest": statistics.content_digest(task.type, read.labels, task.score_range, parts),
        **statistics.describe(read.labels, parts),
        **_of_words(task, read, parts),
    }
    for split, examples in parts.items():
        storage.write_split(output, split, examples)
    # Last, because it vouches for the splits.
    atomic.write_json(output / "stats.json", stats)
    for line in statistics.summary_lines(stats):
        print(line)


def _of_words(task: Task, read: canonical.Canonical, parts: dict[str, Examples]) -> dict[str, Any]:
    """What `stats.json` says of words and their tags beyond what it says of all tasks."""
    if task.type not in WORD_TYPES:
        return {}
    found: dict[str, Any] = {
        "skipped": {
            what: {split: counts[what] for split, counts in read.skipped.items()}
            for what in sorted(set().union(*read.skipped.values()))
        },
        canonical.MENDED_WORDS: {split: counts[canonical.MENDED_WORDS] for split, counts in read.mended.items()},
    }
    if task.tags != "words":
        assert read.labels is not None
        found["tags"] = task.tags
        found["spans"] = statistics.spans_by_type(read.labels, parts)
        found[canonical.STARTS_WITH_I] = {
            split: counts[canonical.STARTS_WITH_I] for split, counts in read.mended.items()
        }
    return found


def _carved(name: str, task: Task, given: dict[str, Examples]) -> tuple[dict[str, Examples], list[str]]:
    """All three splits, and which of them were carved. Test chooses before validation."""
    train = given["train"]
    missing = [split for split in ("test", "validation") if split not in given]
    setting = f"tasks.{name}.carve"
    sizes = {
        split: splits.wanted_rows(getattr(task.carve, split), len(train), f"{setting}.{split}") for split in missing
    }
    indices = splits.carve(row_keys(train.texts, train.pairs), sizes, setting)
    whole = {**given, **{split: train.take(part) for split, part in indices.items()}}
    return {split: whole[split] for split in storage.SPLITS}, sorted(missing)


def _limited(name: str, task: Task, parts: dict[str, Examples]) -> tuple[dict[str, Examples], dict[str, int]]:
    """The splits with the limits applied, and the rows before of those that lost some."""
    before: dict[str, int] = {}
    for split in storage.SPLITS:
        limit = getattr(task.limit, split)
        examples = parts[split]
        if limit is None:
            continue
        size = splits.wanted_rows(limit, len(examples), f"tasks.{name}.limit.{split}")
        if size < len(examples):
            before[split] = len(examples)
            parts = {**parts, split: examples.take(splits.limited(row_keys(examples.texts, examples.pairs), size))}
    return parts, before

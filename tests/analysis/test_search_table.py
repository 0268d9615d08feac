"""The table of how hyper-parameters were chosen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from transfer_atlas.analysis import search, tables
from transfer_atlas.errors import UserError
from transfer_atlas.training.search import COLUMNS


def trials(recipe: str, scores: dict[int, list[float | None]], chosen: int) -> list[dict[str, Any]]:
    """Rows of one cell: the scores of each candidate's seeds."""
    shared = {"model": "tiny", "intermediate": "none", "task": "sentiment", "recipe": recipe, "size": "100"}
    return [
        {
            **shared,
            "candidate": candidate,
            "settings": f'{{"epochs": {candidate + 1}}}',
            "seed": 100 + seed,
            "metric": "accuracy",
            "value": score,
            "chosen": candidate == chosen,
            "run": f"{recipe} {candidate} {seed}",
        }
        for candidate, of_candidate in scores.items()
        for seed, score in enumerate(of_candidate)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    pd.DataFrame(rows, columns=list(COLUMNS)).to_parquet(path)
    return path


def test_one_row_for_each_candidate(tmp_path: Path) -> None:
    rows = trials("finetune", {0: [0.5, 0.7], 3: [0.8, 0.9]}, chosen=3) + trials("extract", {1: [0.4], 2: [0.4]}, 1)
    table = search.collect([write(tmp_path / "a", []), write(tmp_path / "b", rows)])
    assert list(table["recipe"]) == ["finetune", "finetune", "extract", "extract"]
    assert list(table["candidate"]) == [0, 3, 1, 2]
    assert list(table["mean"]) == pytest.approx([0.6, 0.85, 0.4, 0.4])
    assert table["sd"].iloc[0] == pytest.approx(math.sqrt(0.02))
    assert math.isnan(table["sd"].iloc[2])
    assert list(table["n"]) == [2, 2, 1, 1]
    assert list(table["chosen"]) == [False, True, True, False]
    assert set(table["candidates"]) == {2}
    assert list(table["spread"]) == pytest.approx([0.25, 0.25, 0.0, 0.0])
    assert table["settings"].iloc[1] == '{"epochs": 4}'


def test_a_diverged_candidate_has_no_mean(tmp_path: Path) -> None:
    table = search.collect(
        [write(tmp_path / "a", trials("finetune", {0: [0.5, None], 1: [0.6, 0.6], 2: [0.5, 0.5]}, 1))]
    )
    assert list(table["diverged"]) == [1, 0, 0]
    assert math.isnan(table["mean"].iloc[0])
    assert list(table["spread"]) == pytest.approx([0.1] * 3)


def test_nothing_searched_is_an_empty_table(tmp_path: Path) -> None:
    table = search.collect([write(tmp_path / "a", [])])
    tables.write(table, tmp_path / "search.csv")
    assert (tmp_path / "search.csv").read_text(encoding="utf-8") == ",".join(search.COLUMNS) + "\n"
    assert search.collect([]).empty


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.parquet: no such file"):
        search.collect([tmp_path / "gone.parquet"])

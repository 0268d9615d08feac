"""A paper's numbers as a user read them in the paper: with and without an intermediate task."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from transfer_atlas.analysis.metrics import METRIC_LABELS
from transfer_atlas.errors import UserError

COLUMNS = ("model", "task", "setting", "intermediate", "metric", "value")
ALLOWED = {
    "setting": ("domain", "cross-lingual"),
    "intermediate": ("with", "without"),
    "metric": tuple(METRIC_LABELS),
}
Place = tuple[str, str, str, str]  # model, task, setting, metric


@dataclass(frozen=True)
class PrintedGain:
    """The two scores of a paper for one model, task and setting, in points; None where it has none."""

    model: str
    task: str
    setting: str
    metric: str
    after: float | None
    """With an intermediate task."""
    without: float | None

    @property
    def difference(self) -> float | None:
        """With minus without."""
        return None if self.after is None or self.without is None else self.after - self.without


def read(path: Path) -> list[PrintedGain]:
    """The numbers of a csv with the columns `COLUMNS` (others are not read), in its order.

    Raises:
        UserError: the file cannot be read, lacks a column, or a row says what cannot be.
    """
    scores: dict[Place, dict[str, float]] = {}
    values = []
    for number, row in _rows(path):
        place = (row["model"], row["task"], row["setting"], row["metric"])
        sides = scores.setdefault(place, {})
        if row["intermediate"] in sides:
            told = " ".join(place)
            raise UserError(f"{path}:{number}, column intermediate: {told} {row['intermediate']} is there twice")
        sides[row["intermediate"]] = _points(path, number, row["value"])
        values.append(abs(sides[row["intermediate"]]))
    if values and max(values) <= 1:
        raise UserError(f"{path}: column value holds nothing above 1; give points, 93.2 rather than 0.932")
    return [PrintedGain(*place, sides.get("with"), sides.get("without")) for place, sides in scores.items()]


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the line it ends in, its cells checked."""
    try:
        # The mark that spreadsheets begin a file with is no part of the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for column in COLUMNS:
                if column not in (rows.fieldnames or []):
                    raise UserError(f"{path}: column {column} is missing; its columns must be {', '.join(COLUMNS)}")
            for row in rows:
                cells = {column: (row[column] or "").strip() for column in COLUMNS}
                _check(path, rows.line_num, cells)
                yield rows.line_num, cells
    except OSError as error:
        raise UserError(f"published.mohapatra2022: {path}: {error.strerror}; name a csv file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"published.mohapatra2022: {path}: no csv file in UTF-8 ({error})") from None


def _check(path: Path, number: int, cells: dict[str, str]) -> None:
    for column, value in cells.items():
        allowed = ALLOWED.get(column, ())
        if not value:
            raise UserError(f"{path}:{number}, column {column}: empty; leave out rows that the paper has not")
        if allowed and value not in allowed:
            raise UserError(f"{path}:{number}, column {column}: should be {' or '.join(allowed)}, not {value}")


def _points(path: Path, number: int, value: str) -> float:
    try:
        points = float(value)
    except ValueError:
        points = math.nan
    if not abs(points) <= 100:
        raise UserError(f"{path}:{number}, column value: should be points from -100 to 100, not {value}")
    return points

"""Tables and numbers as people read them in Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

DAGGER = "†"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def entries(names: str, labels: Mapping[str, str]) -> str:
    """Names of entries joined by commas, as they are shown."""
    return ", ".join(labels.get(name, name) for name in names.split(", "))


def points(mean: float, low: float, high: float, n: int, signed: bool = False) -> str:
    """A score in points with half its interval; `not run` without a value."""
    if n == 0:
        return "not run"
    if math.isnan(mean):
        return "undefined"
    told = number(mean, signed)
    return told if math.isnan(low) else f"{told} ± {(high - low) / 2:.1f}"


def number(value: float, signed: bool = False, digits: int = 1) -> str:
    """A number (of points, with one digit), with its sign where it is a difference."""
    told = f"{abs(value):.{digits}f}"
    if float(told) == 0:
        return told
    return ("−" if value < 0 else "+" if signed else "") + told

"""The claims of a paper as people read them: a Markdown table, each claim followed by its parts that were run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from transfer_atlas.analysis import markdown
from transfer_atlas.analysis.claims.claim import POINTS, WHOLE
from transfer_atlas.analysis.markdown import DAGGER

Row = Mapping[Any, Any]
"""A row of the table of `claims.claim`."""
Group = tuple[Row, list[Row]]
"""A claim and its parts, run or not."""


def table(claims: pd.DataFrame, labels: Mapping[str, str], columns: Mapping[str, Callable[[Row], str]]) -> str:
    """The claims of one paper.

    Args:
        claims: rows of the table of `claims.claim`, each claim followed by its parts.
        labels: names to show, by name of the entry.
        columns: what else is told of each row, before its note, by heading.
    """
    rows = []
    for whole, parts in groups(claims):
        for row in (whole, *(part for part in parts if part["verdict"] != "not run")):
            cells = [row["claim"], row["statement"]] if row is whole else ["", f"– {row['part']}"]
            verdict = f"**{row['verdict']}**" if row is whole else row["verdict"]
            cells += [markdown.entries(row["models"], labels), verdict + dagger(row), estimate(row), row["bound"]]
            rows.append([*cells, *(told(row) for told in columns.values()), row["note"]])
    header = ["claim", "statement", "our model", "verdict", "estimate", "claimed", *columns, "note"]
    return markdown.table(header, rows)


def groups(claims: pd.DataFrame) -> list[Group]:
    """Each claim with its parts, in their order; a claim judged for two models is there twice."""
    found: list[Group] = []
    for row in claims.to_dict("records"):
        if row["part"] == WHOLE:
            found.append((row, []))
        else:
            found[-1][1].append(row)
    return found


def estimate(row: Row) -> str:
    """An estimate with its unit and interval; empty for a claim that is its parts'."""
    if pd.isna(row["estimate"]):
        return ""
    value, low, high = (_number(row, row[name]) for name in ("estimate", "low", "high"))
    interval = "" if pd.isna(row["low"]) else f" [{low}, {high}]"
    return f"{value} {row['unit']}{interval}, n = {row['n']}"


def controls(row: Row) -> str:
    """What random labels or states give instead."""
    return str(row["controls"])


def train_examples(row: Row) -> str:
    """How many there were; empty where a claim is about several sizes."""
    return "" if pd.isna(row["n_train"]) else f"{row['n_train']:,}"


def published(row: Row) -> str:
    """The paper's number."""
    if pd.isna(row["published"]):
        return ""
    return _number(row, row["published"]) + ("" if row["published_verified"] else " (not verified)")


def beyond_published(row: Row) -> str:
    """The estimate minus the paper's number."""
    if pd.isna(row["published"]) or pd.isna(row["estimate"]):
        return ""
    return _number(row, row["estimate"] - row["published"]) + dagger(row)


def dagger(row: Row) -> str:
    """Marks what was run, but only stands in for the paper's model or data."""
    return DAGGER if row["stand_ins"] and row["verdict"] != "not run" else ""


def stand_ins(claims: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """What stands in for what, as a footnote."""
    found: dict[str, None] = {}
    for told in claims.loc[claims["verdict"] != "not run", "stand_ins"]:
        for one in filter(None, told.split("; ")):
            name, _, played = one.partition(" for ")
            found[f"{labels.get(name, name)} for {played}"] = None
    return [f"{DAGGER} stands in: {'; '.join(found)}."] if found else []


def _number(row: Row, value: float) -> str:
    return markdown.number(value, signed=True, digits=1 if row["unit"] == POINTS else 3)

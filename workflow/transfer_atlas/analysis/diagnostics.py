"""What each layer knows before and after fine-tuning: the scores of probes, read and put side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from transfer_atlas.analysis.intervals import differences

# State: pretrained, finetuned, or a control (random labels, random states). `n` counts the scored examples.
COLUMNS = {
    "model": "str",
    "task": "str",
    "recipe": "str",
    "size": "str",
    "seed": "int64",
    "state": "str",
    "layer": "int64",
    "measure": "str",
    "metric": "str",
    "value": "float64",
    "n": "int64",
}
KEY = [name for name in COLUMNS if name not in ("value", "n")]
PRETRAINED, FINETUNED = "pretrained", "finetuned"

Curve = Mapping[int, Mapping[int, float]]
"""Value by seed by layer."""


def collect(files: Sequence[Path]) -> pd.DataFrame:
    """The tables of all diagnostics together, in an order that depends on the rows alone."""
    # Read as text first: a name may look like a number, and a size may be `all`.
    frames = [pd.read_csv(file, dtype="str", keep_default_na=False)[list(COLUMNS)] for file in files]
    together = pd.concat([pd.DataFrame(columns=list(COLUMNS)), *frames], ignore_index=True).astype(COLUMNS)
    return together.sort_values(KEY, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class Curves:
    """The curves of one model, task, recipe, size and measure, by state."""

    recipe: str
    size: str
    by_state: Mapping[str, Curve]

    @property
    def layers(self) -> list[int]:
        """Layers above the embeddings, from the bottom."""
        return sorted({layer for curve in self.by_state.values() for layer in curve if layer > 0})

    def at(self, state: str, layer: int) -> Mapping[int, float]:
        """Value by seed; empty where the state was not measured."""
        return self.by_state.get(state, {}).get(layer, {})

    def change(self, state: str, before: str, layer: int) -> dict[int, float]:
        """Value of `state` minus that of `before` at a layer, by seed."""
        return differences(self.at(state, layer), self.at(before, layer))


def largest(sizes: Sequence[str]) -> str:
    """The largest of these train sizes; `all` is larger than any number."""
    return max(sizes, key=lambda size: math.inf if size == "all" else int(size))


def curves(table: pd.DataFrame, model: str, task: str, measure: str, metric: str | None = None) -> Curves | None:
    """The curves at the largest size of the first recipe that was diagnosed, or None.

    Args:
        table: of `collect`.
        metric: which metric, where the measure has several.
    """
    here = (table["model"] == model) & (table["task"] == task) & (table["measure"] == measure)
    rows = table[here if metric is None else here & (table["metric"] == metric)]
    if rows.empty:
        return None
    recipe = min(rows["recipe"])
    rows = rows[rows["recipe"] == recipe]
    size = largest(sorted(set(rows["size"])))
    by_state: dict[str, dict[int, dict[int, float]]] = {}
    for row in rows[rows["size"] == size].itertuples(index=False):
        by_state.setdefault(row.state, {}).setdefault(row.layer, {})[row.seed] = row.value
    return Curves(recipe, size, by_state)

"""What each layer knows of a task's labels before and after fine-tuning: one panel a task and measure."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.diagnostics import FINETUNED, PRETRAINED
from transfer_atlas.analysis.metrics import METRIC_LABELS
from transfer_atlas.figures import style
from transfer_atlas.probing.names import MUTUAL_INFORMATION, RANDOM_LABELS, RANDOM_STATES

TITLE = "What does each layer know of the labels?"
KEYS = ["measure", "metric", "task", "model", "recipe", "size"]
STATE_LABELS = {
    PRETRAINED: "before fine-tuning",
    FINETUNED: "after fine-tuning",
    RANDOM_LABELS: "control: random labels",
    RANDOM_STATES: "control: random states",
}


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `diagnostics`."""
    table = tables["diagnostics"]
    if table.empty:
        return style.not_run(TITLE)
    places = table[KEYS].drop_duplicates().sort_values(KEYS, ignore_index=True)
    varying = style.varying(places, ["model", "recipe", "size"])
    figure, grid = style.panels(places, width=3.7, height=2.9)
    looks = _looks()
    handles = {}
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(table, place, KEYS)
        for state in [state for state in looks if state in set(panel["state"])]:
            line = curve(panel[panel["state"] == state])
            colour, marker = looks[state]
            handle = style.intervals(axes, line["layer"].tolist(), line, colour, marker)
            if state not in (PRETRAINED, FINETUNED):
                handle.set_linestyle("--")
            handles[STATE_LABELS[state]] = handle
        style.layer_axis(axes, "layer (0: embeddings)")
        metric = str(place["metric"])
        information = place["measure"] == MUTUAL_INFORMATION
        axes.set_ylabel(
            f"mutual information, {metric}" if information else f"probe: {METRIC_LABELS.get(metric, metric)}"
        )
        axes.set_title(style.heading(place, varying, labels))
    note = style.seeds_note(table.groupby([*KEYS, "state", "layer"])["seed"].nunique())
    style.frame(figure, TITLE, f"Measured on validation examples. {note}", handles)
    return figure


def curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds with interval (layer, mean, low, high) of one state."""
    found = [
        (layer, intervals.estimate(values.tolist())) for layer, values in rows.groupby("layer", sort=True)["value"]
    ]
    return pd.DataFrame(
        [(layer, estimate.mean, estimate.low, estimate.high) for layer, estimate in found],
        columns=["layer", "mean", "low", "high"],
    )


def _looks() -> dict[str, tuple[style.Colour, str]]:
    before, after = sns.color_palette("colorblind", 2)
    return {
        PRETRAINED: (before, "o"),
        FINETUNED: (after, "s"),
        RANDOM_LABELS: ((0.55, 0.55, 0.55), "v"),
        RANDOM_STATES: ((0.75, 0.75, 0.75), "^"),
    }

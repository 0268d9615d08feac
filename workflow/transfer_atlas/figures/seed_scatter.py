"""How far single runs scatter where train examples are fewest: every run at every depth, one panel a task."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from transfer_atlas.analysis import intervals
from transfer_atlas.figures import style
from transfer_atlas.figures.layers_kept import DEPTH

TITLE = "How far do single runs scatter?"
KEYS = ["task", "model", "recipe", "surgery", "n_train"]
# In layers: where the runs of one depth begin and end, and where their mean stands beside them.
FIRST, LAST, BESIDE = -0.34, 0.1, 0.3
DARK = (0.2, 0.2, 0.2)
RUN, MEAN = "a run", "mean and interval"


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the fewest train examples of each model, task, recipe and surgery in the table `layer_scores`."""
    table = tables["layer_scores"].drop_duplicates([*KEYS, "depth", "seed"])
    table = table[table["n_train"] == table.groupby(KEYS[:-1])["n_train"].transform("min")]
    if table.empty:
        return style.not_run(TITLE)
    places = style.places(table, KEYS)
    varying = style.varying(places, KEYS)
    figure, grid = style.panels(places, width=3.9, height=3.0)
    colour = sns.color_palette("colorblind")[0]
    handles = {}
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(table, place, KEYS)
        seeds = sorted(set(panel["seed"]))
        # A seed has the same place at every depth, so that it can be followed.
        offset = dict(zip(seeds, np.linspace(FIRST, LAST, len(seeds)), strict=True))
        (handles[RUN],) = axes.plot(
            panel["depth"] + panel["seed"].map(offset),
            panel["value"],
            linestyle="none",
            marker="o",
            markersize=4.2,
            markerfacecolor=(*colour, 0.5),
            markeredgewidth=0,
        )
        depths = sorted(set(panel["depth"]))
        found = [intervals.estimate(panel.loc[panel["depth"] == depth, "value"].tolist()) for depth in depths]
        line = pd.DataFrame([vars(estimate) for estimate in found])
        handles[MEAN] = style.intervals(axes, [depth + BESIDE for depth in depths], line, DARK, "D")
        handles[MEAN].set(linestyle="none", markersize=3.6)
        style.layer_axis(axes, DEPTH)
        style.score_axis(axes, str(place["metric"]))
        axes.set_title(style.heading(place, varying, labels))
    sizes = " to ".join(f"{n:,}" for n in sorted({table["n_train"].min(), table["n_train"].max()}))
    counts = table.groupby([*KEYS, "depth"])["seed"].nunique()
    note = (
        f"{sizes} train examples, the fewest that were run. {style.seeds_note(counts)} "
        "Runs at one depth: by seed, left to right."
    )
    style.frame(figure, TITLE, note, handles)
    return figure

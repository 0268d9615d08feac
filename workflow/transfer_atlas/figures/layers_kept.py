"""Score against the number of pretrained layers kept: one panel a task, one line a train size."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import matplotlib.ticker as ticker
import pandas as pd
from matplotlib.figure import Figure

from transfer_atlas.analysis.tables import plain
from transfer_atlas.figures import style

TITLE = "How many pretrained layers does the task need?"
# Layers between neighbouring lines, so that their intervals do not hide each other.
SHIFT = 0.09


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `layers_kept`."""
    table = plain(tables["layers_kept"])
    if table.empty:
        return style.not_run(TITLE)
    keys = ["task", "model", "intermediate", "recipe", "surgery"]
    # Size 2000 and all of 2000 examples are one line.
    table = table.drop_duplicates([*keys, "n_train", "depth"])
    places = table[[*keys, "metric"]].drop_duplicates()
    varying = style.varying(places, keys)
    figure, grid = style.panels(places, width=3.9, height=3.1)
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = table[(table[keys] == [place[key] for key in keys]).all(axis=1)]
        sizes = sorted(set(panel["n_train"]))
        colours = style.size_colours(sizes)
        ends = []
        for i, n_train in enumerate(sizes):
            line = panel[panel["n_train"] == n_train].sort_values("depth")
            shift = (i - (len(sizes) - 1) / 2) * SHIFT
            style.intervals(axes, (line["depth"] + shift).tolist(), line, colours[n_train], style.MARKERS[i % 7])
            ends.append((float(line["mean"].iloc[-1]), f"{n_train:,}", colours[n_train]))
        style.score_axis(axes, str(place["metric"]))
        style.label_ends(axes, ends, gap=0.075)
        axes.set_xlabel("pretrained layers kept (from the bottom)")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(13, integer=True, min_n_ticks=1))
        axes.set_title(style.heading({str(key): value for key, value in place.items()}, varying, labels))
    note = "Number at the right of each line: train examples. All other layers reinitialised. "
    style.frame(figure, TITLE, note + style.seeds_note(table["n"]))
    return figure

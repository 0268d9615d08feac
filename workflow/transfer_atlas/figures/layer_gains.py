"""What each layer adds, at each train size: a heat map for each task, model and surgery."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.figures import heat_map, style

TITLE = "What does each pretrained layer add, at which train size?"
KEYS = ["task", "model", "recipe", "surgery"]
# Height of a cell, and what a panel takes besides, in inches.
CELL, AROUND = 0.42, 0.62
WIDTHS = (0.37, 0.62)
# Font sizes of a gain and of what is below it.
NUMBERS, SMALLER = (8.5, 6.5), (7.2, 5.2)


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `layer_gains`."""
    # Size 2000 and all of 2000 examples are one row.
    table = tables["layer_gains"].drop_duplicates([*KEYS, "n_train", "layer"])
    if table.empty:
        return style.not_run(TITLE)
    places = table[KEYS].drop_duplicates()
    varying = style.varying(places, KEYS)
    layers = int(table["layer"].max())
    width = min(max(5.5 / layers, WIDTHS[0]), WIDTHS[1])
    shown = [style.within(table, place, KEYS) for place in places.to_dict("records")]
    heights = [panel["n_train"].nunique() * CELL for panel in shown]
    figure = style.blank(max(5.6, layers * width + 1.1), sum(heights) + len(heights) * AROUND + 1.9)
    bar, *grid = figure.subplots(len(shown) + 1, 1, height_ratios=[heat_map.BAR, *heights]).tolist()
    colours = heat_map.colour_bar(figure, bar, table["gain"] * POINTS)
    for axes, panel, place in zip(grid, shown, places.to_dict("records"), strict=True):
        sizes = sorted(set(panel["n_train"]))
        for row in panel.to_dict("records"):
            mean, low, high = (row[name] * POINTS for name in ("gain", "gain_low", "gain_high"))
            at = (row["layer"], sizes.index(row["n_train"]))
            half = f"\u00b1{(high - low) / 2:.1f}"
            heat_map.cell(axes, at, (mean, low, high), half, colours, NUMBERS if width > 0.42 else SMALLER)
        # One width of cells for all panels, however many layers the models have.
        axes.set_xlim(0.5, layers + 0.5)
        axes.set_ylim(len(sizes) - 0.5, -0.5)
        axes.set_xticks(range(1, int(panel["layer"].max()) + 1))
        axes.set_yticks(range(len(sizes)), [f"{n_train:,}" for n_train in sizes])
        heat_map.bare(axes)
        axes.set_ylabel("train\nexamples")
        axes.set_title(style.heading(place, varying, labels).replace("\n", ": "))
    grid[-1].set_xlabel("layer (1: the lowest)")
    note = (
        "Number: points gained by keeping this layer pretrained besides those below it, all above it reinitialised. "
        f"{heat_map.interval_note(table['gain_n'], 'half of the 95 % t interval')} "
        "The largest gain or loss sets the ends of the colours. Empty: not run."
    )
    style.frame(figure, TITLE, note, heat_map.legend(colours))
    return figure

"""What each layer adds, at each train size: a heat map for each task, model and surgery."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.figures import style

TITLE = "What does each pretrained layer add, at which train size?"
KEYS = ["task", "model", "recipe", "surgery"]
# ColorBrewer's: safe for colour-blind readers, white at 0, blue for gains.
PALETTE = "RdBu"
# Height of a cell, what a panel takes besides, and the colour bar with its numbers, in inches.
CELL, AROUND, BAR = 0.42, 0.62, 0.13
WIDTHS = (0.37, 0.62)
# How much of a cell's colour is left where the gain may be none.
PALE = 0.3
# Numbers on a colour of less brightness are white.
DARK = 0.5
UNCLEAR = "the interval holds 0, or there is none"
CLEAR = "the interval excludes 0"


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
    bar, *grid = figure.subplots(len(shown) + 1, 1, height_ratios=[BAR, *heights]).tolist()
    largest = (table["gain"].abs() * POINTS).max()
    colours = ScalarMappable(CenteredNorm(0, largest if largest > 0 else 1.0), matplotlib.colormaps[PALETTE])
    figure.colorbar(colours, cax=bar, orientation="horizontal", label="gain, points")
    bar.xaxis.set_label_position("top")
    bar.spines["outline"].set_visible(False)
    for axes, panel, place in zip(grid, shown, places.to_dict("records"), strict=True):
        sizes = sorted(set(panel["n_train"]))
        for row in panel.to_dict("records"):
            _cell(axes, row, sizes.index(row["n_train"]), width, colours)
        # One width of cells for all panels, however many layers the models have.
        axes.set_xlim(0.5, layers + 0.5)
        axes.set_ylim(len(sizes) - 0.5, -0.5)
        axes.set_xticks(range(1, int(panel["layer"].max()) + 1))
        axes.set_yticks(range(len(sizes)), [f"{n_train:,}" for n_train in sizes])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.set_ylabel("train\nexamples")
        axes.set_title(style.heading(place, varying, labels).replace("\n", ": "))
    grid[-1].set_xlabel("layer (1: the lowest)")
    note = (
        "Number: points gained by keeping this layer pretrained besides those below it, all above it reinitialised. "
        f"{_interval_note(table['gain_n'])} "
        "The largest gain or loss sets the ends of the colours. Empty: not run."
    )
    example = colours.get_cmap()(0.85)[:3]
    keys = {CLEAR: Patch(facecolor=example), UNCLEAR: _doubtful(Patch(), example)}
    style.frame(figure, TITLE, note, keys)
    return figure


def signed(gain: float) -> str:
    """A difference as it is printed: with sign, one digit, and no negative zero."""
    if math.isnan(gain):
        return "n/a"
    text = f"{gain:+.1f}".replace("-", "\u2212")
    return "0.0" if text[1:] == "0.0" else text


def _cell(axes: Axes, row: Mapping[Any, Any], y: int, width: float, colours: ScalarMappable) -> None:
    """One gain (`gain`, `gain_low`, `gain_high`) at its layer: the colour, the number and below it the interval."""
    gain, low, high = (row[name] * POINTS for name in ("gain", "gain_low", "gain_high"))
    clear = low > 0 or high < 0
    red, green, blue, _ = colours.to_rgba(np.array([0.0 if math.isnan(gain) else gain]))[0].tolist()
    colour = red, green, blue
    cell = Rectangle((row["layer"] - 0.5, y - 0.5), 1, 1, edgecolor="white", linewidth=1.2, facecolor=colour)
    axes.add_patch(cell if clear else _doubtful(cell, colour))
    dark = clear and 0.3 * red + 0.59 * green + 0.11 * blue < DARK
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if dark else "black" if clear else "0.38"}
    size = 8.5 if width > 0.42 else 7.2
    known = not math.isnan(low)
    place = y - 0.13 if known else y
    axes.text(row["layer"], place, signed(gain), fontsize=size, fontweight="bold" if clear else "normal", **look)
    if known:
        axes.text(row["layer"], y + 0.24, f"\u00b1{(high - low) / 2:.1f}", fontsize=size - 2, **look)


def _interval_note(counts: pd.Series) -> str:
    seeds = style.count_range(counts)
    if seeds == "1":
        return "One seed: no interval."
    return f"Below it: half of the 95 % t interval over n = {seeds} seeds, paired."


def _doubtful(patch: Patch, colour: Sequence[float]) -> Patch:
    """The patch, pale and hatched."""
    red, green, blue = (1 - PALE * (1 - part) for part in colour)
    patch.set(facecolor=(red, green, blue), hatch="////", edgecolor="0.86", linewidth=0)
    return patch

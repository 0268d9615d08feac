"""What an intermediate task changes as the target has more data: learning curves of the gain, one panel a target."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import matplotlib
import matplotlib.ticker as ticker
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.figures import style

TITLE = "Does an intermediate task still help when the target has more data?"
KEYS = ["task", "recipe"]
CURVE = ["intermediate", "model"]
# Of the control, whose updates are all on the target.
DASHES = (0, (3, 2))


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `intermediate`, fine-tuning only: with minus without, and the control minus without."""
    table = tables["intermediate"]
    # Size 2000 and all of 2000 examples are one point.
    table = table[table["method"] == "finetune"].drop_duplicates([*KEYS, *CURVE, "n_train"])
    if table.empty:
        return style.not_run(TITLE)
    names, models = (list(dict.fromkeys(table[column])) for column in CURVE)
    colours = dict(zip(names, sns.color_palette("colorblind", len(names)), strict=True))
    markers = dict(zip(models, cycle(style.MARKERS), strict=False))
    table = table.sort_values(["family", "setting", "task"], kind="stable")
    places = style.places(table, KEYS)
    varying = style.varying(places, KEYS)
    figure, grid = style.panels(places, height=2.5)
    handles: dict[str, Any] = {}
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(table, place, KEYS)
        style.size_axis(axes, panel["n_train"])
        curves = list(panel.groupby(CURVE, sort=False))
        for i, ((name, model), curve) in enumerate(curves):
            curve = curve.sort_values("n_train")
            x = style.dodge(axes, curve["n_train"].tolist(), i, len(curves))
            look = {"color": colours[name], "marker": markers[model]}
            line = _gain(axes, x, curve, look)
            own = [style.show(str(entry), labels) for entry in ([name, model] if len(models) > 1 else [name])]
            handles[", ".join(own)] = line
            _control(axes, x, curve, look)
        axes.axhline(0, color="0.3", linewidth=1, zorder=1)
        axes.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.set_ylabel("gain, points")
        kind = ", ".join(dict.fromkeys([*panel["family"], *panel["setting"]]))
        axes.set_title(f"{style.heading(place, varying, labels)}\n{kind}")
    note = (
        "Gain: test score with minus without the intermediate task, paired by seed. "
        f"{style.seeds_note(table['difference_n']).replace('bars', 'bands')}"
    )
    if table["budget_mean"].notna().any():
        note += " Dashed: as many updates more on the target itself, minus without."
    style.frame(figure, TITLE, note, handles)
    return figure


def _gain(axes: Axes, x: list[float], curve: pd.DataFrame, look: Mapping[str, Any]) -> Any:
    """The gain at each size with its interval as a band, or as a bar where there is but one size."""
    mean, low, high = (
        (curve[column] * POINTS).to_numpy(dtype="float64")
        for column in ("difference", "difference_low", "difference_high")
    )
    if len(x) > 1:
        axes.fill_between(x, low, high, color=look["color"], alpha=0.14, linewidth=0, zorder=0.8)
    else:
        axes.vlines(x, low, high, color=look["color"], linewidth=1.1)
    (line,) = axes.plot(x, mean, markeredgecolor="white", markeredgewidth=0.5, **look)
    return line


def _control(axes: Axes, x: list[float], curve: pd.DataFrame, look: Mapping[str, Any]) -> None:
    """What as many updates on the target itself gain, where they were run."""
    gains = ((curve["budget_mean"] - curve["without_mean"]) * POINTS).to_numpy(dtype="float64")
    axes.plot(x, gains, linestyle=DASHES, linewidth=1.0, markersize=3, markerfacecolor="white", **look)

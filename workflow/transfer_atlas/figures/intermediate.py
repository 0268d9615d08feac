"""With against without an intermediate task: the difference and its interval, one panel a metric."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import matplotlib.ticker as ticker
import pandas as pd
from matplotlib.figure import Figure

from transfer_atlas.analysis.metrics import METRIC_LABELS
from transfer_atlas.figures import style

TITLE = "Does training on another task first help?"
PLACE = ["model", "task", "intermediate"]
# Inches for one row with two lines of text, or with one, and for what is around the rows.
ROW, SHORT, FRAME = 0.42, 0.26, 1.0
# With more rows, only the largest train size of each target is shown: `transfer_matrix` and `transfer_gain` show all.
CROWDED = 24
# Inches of the axes and of a letter of a name beside them.
AXES, LETTER = 4.2, 0.065


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `intermediate`; colours follow the recipes of the table `scores`."""
    table = tables["intermediate"].drop_duplicates(["model", "intermediate", "task", "recipe", "n_train"])
    if table.empty:
        return style.not_run(TITLE)
    looks = style.recipe_looks(tables["scores"])
    rows = [*PLACE, "n_train"]
    crowded = len(table[rows].drop_duplicates()) > CROWDED
    if crowded:
        table = table[table["n_train"] == table.groupby(PLACE)["n_train"].transform("max")]
    varying = style.varying(table, ["model"])
    metrics = list(dict.fromkeys(table["metric"]))
    heights = [table[table["metric"] == metric][rows].drop_duplicates().shape[0] for metric in metrics]
    figure = style.blank(7.0, sum(heights) * (SHORT if crowded else ROW) + len(metrics) * FRAME + 0.6)
    grid = figure.subplots(len(metrics), 1, squeeze=False, height_ratios=heights).ravel().tolist()
    handles = {}
    longest = 0
    for axes, metric in zip(grid, metrics, strict=True):
        panel = table[table["metric"] == metric]
        groups = list(panel.groupby(rows, sort=False))
        names = []
        for i, (_, group) in enumerate(groups):
            place = group.iloc[0]
            model = "".join(f", {style.show(place[name], labels)}" for name in varying)
            arrow = f"{style.show(place['intermediate'], labels)} \u2192 {style.show(place['task'], labels)}"
            count = f"{place['n_train']:,} examples, n = {style.count_range(group['difference_n'])}"
            names.append(f"{arrow}{model}" + ("" if crowded else f"\n{count}"))
            for j, row in enumerate(group.sort_values("recipe").to_dict("records")):
                colour, marker = looks[row["recipe"]]
                y = i + (j - (len(group) - 1) / 2) * min(0.26, 0.8 / len(group))
                value, low, high = (row[name] for name in ("difference", "difference_low", "difference_high"))
                axes.plot([low, high], [y, y], color=colour, linewidth=1.4)
                alone = pd.isna(low)
                (handle,) = axes.plot(
                    [value],
                    [y],
                    marker=marker,
                    color=colour,
                    linestyle="none",
                    markersize=6,
                    markerfacecolor="white" if alone else colour,
                )
                handles[style.show(row["recipe"], labels)] = handle
        longest = max(longest, *(len(line) for name in names for line in name.splitlines()))
        axes.axvline(0, color="0.3", linewidth=1, zorder=1)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_yticks(range(len(groups)), names)
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlabel(f"difference in test {METRIC_LABELS.get(metric, metric)}: with minus without")
        axes.spines[["top", "right", "left"]].set_visible(False)
    # Names may take as much room as they need, the axes keep theirs.
    figure.set_figwidth(max(7.0, AXES + longest * LETTER))
    note = style.seeds_note(table["difference_n"]).replace("Means over", "Mean paired differences over")
    if crowded:
        note += " At the largest train size of each; the figures transfer_matrix and transfer_gain show all sizes."
    style.frame(figure, TITLE, note, handles)
    return figure

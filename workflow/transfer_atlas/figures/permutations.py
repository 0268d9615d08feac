"""Whether the order of the layers matters: scores of an encoder with its layers permuted, one panel a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer_atlas.figures import style

TITLE = "Does the order of the layers matter?"
KEYS = ["task", "model", "recipe", "surgery", "n_train"]
NAME = "layers permuted"
COLOUR = sns.color_palette("colorblind")[0]
# A box of fewer scores would show quartiles that hardly any score is beside.
BOX_FROM = 4
# Numbers of more permutations are written smaller.
CROWDED = 14


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `permutations`: the distribution over permutations, then each of them."""
    # Without number: the mean over permutations, which the box shows better.
    table = tables["permutations"].dropna(subset="permutation").drop_duplicates([*KEYS, "permutation"])
    if table.empty:
        return style.not_run(TITLE)
    places = style.places(table, KEYS)
    varying = style.varying(places, KEYS)
    figure, grid = style.panels(places, width=3.6, height=3.0)
    handles: dict[str, Any] = {}
    any_boxed = False
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(table, place, KEYS).sort_values("permutation")
        boxed = bool(panel["mean"].notna().sum() >= BOX_FROM)
        axes.set_xlim(-0.7 if boxed else 0.3, len(panel) + 0.7)
        handles |= style.baselines(axes, panel)
        any_boxed |= boxed
        if boxed:
            _box(axes, panel["mean"].dropna().tolist())
        x = [float(i) for i in range(1, len(panel) + 1)]
        handles[NAME] = style.intervals(axes, x, panel, COLOUR, "o")
        # Permutations have no order that a line could follow.
        handles[NAME].set_linestyle("none")
        names = [str(number) for number in panel["permutation"].astype(int)]
        axes.set_xticks([0.0, *x] if boxed else x, ["all", *names] if boxed else names)
        axes.tick_params(axis="x", labelsize=8.5 if len(names) <= CROWDED else 6)
        axes.set_xlabel("number of the permutation")
        style.score_axis(axes, str(place["metric"]))
        axes.set_title(style.heading(place, varying, labels))
    note = style.seeds_note(table["n"]) + style.baselines_note(handles, "permutations")
    if any_boxed:
        note += " Box: quartiles and median over permutations, whiskers to the lowest and highest."
    style.frame(figure, TITLE, note, handles)
    return figure


def _box(axes: Axes, scores: list[float]) -> None:
    """The scores' quartiles and range, left of the points."""
    line = {"color": COLOUR, "linewidth": 1.3}
    axes.boxplot(
        scores,
        positions=[0.0],
        widths=0.6,
        whis=(0, 100),
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": (*COLOUR, 0.25), "edgecolor": COLOUR, "linewidth": 1.3},
        medianprops={**line, "linewidth": 2.2},
        whiskerprops=line,
        capprops=line,
    )

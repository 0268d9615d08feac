"""What a run costs and what it scores: one panel a task, one line a recipe, one point a train size."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import matplotlib.patheffects as patheffects
import pandas as pd
from matplotlib.figure import Figure

from transfer_atlas.analysis.tables import plain
from transfer_atlas.figures import style

TITLE = "What does a better score cost?"
# Each recipe writes its train sizes in a corner of its own, since recipes may lie close together.
CORNERS = [(-1, 1), (1, -1), (1, 1), (-1, -1)]


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the seconds of the table `costs` against the test scores of the table `scores`."""
    points = priced(tables["costs"], tables["scores"])
    if points.empty:
        return style.not_run(TITLE)
    keys = ["model", "intermediate", "task", "device"]
    looks = style.recipe_looks(tables["scores"])
    places = style.places(points, keys)
    varying = style.varying(places, keys)
    figure, grid = style.panels(places)
    handles = {}
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(points, place, keys)
        for i, recipe in enumerate(sorted(set(panel["recipe"]))):
            line = panel[panel["recipe"] == recipe]
            colour, marker = looks[recipe]
            handles[style.show(recipe, labels)] = style.intervals(axes, line["seconds"].tolist(), line, colour, marker)
            across, up = CORNERS[i % len(CORNERS)]
            for row in line.to_dict("records"):
                axes.annotate(
                    f"{row['n_train']:,}",
                    (row["seconds"], row["mean"]),
                    xytext=(5 * across, 6 * up),
                    textcoords="offset points",
                    ha="left" if across > 0 else "right",
                    va="bottom" if up > 0 else "top",
                    fontsize=7.5,
                    color=colour,
                    path_effects=[patheffects.withStroke(linewidth=2, foreground="white")],
                )
        style.seconds_axis(axes, panel["seconds"].tolist())
        style.score_axis(axes, str(place["metric"]))
        axes.set_title(style.heading(place, varying, labels))
    note = "Number at each point: train examples. Seconds: mean over runs. "
    style.frame(figure, TITLE, note + style.seeds_note(points["n"]), handles)
    return figure


def priced(costs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Main test score of untouched models with the mean seconds of a run of the same recipe and size."""
    # What reads a layer of its own (a probe) is a run among many of one cost, and no choice of how to train.
    untouched = (scores["surgery"] == "none") & scores["depth"].isna()
    main = plain(scores[(scores["split"] == "test") & untouched & scores["main"].astype(bool)])
    points = main.merge(
        costs[["model", "task", "recipe", "size", "device", "seconds"]], on=["model", "task", "recipe", "size"]
    )
    # A run too quick to be timed has no place on a logarithmic axis.
    points["seconds"] = points["seconds"].clip(lower=1e-3)
    return points.drop_duplicates(["model", "intermediate", "task", "recipe", "device", "n_train"])

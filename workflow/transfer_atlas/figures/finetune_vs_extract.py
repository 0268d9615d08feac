"""Fine-tuning against feature extraction: score against train size, one panel a task."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from transfer_atlas.analysis.tables import ESTIMATE, plain
from transfer_atlas.figures import style

TITLE = "Fine-tune or extract"


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `finetune_vs_extract`; colours follow the recipes of the table `scores`."""
    points = sides(plain(tables["finetune_vs_extract"]))
    if points.empty:
        return style.not_run(TITLE)
    keys = ["model", "intermediate", "task"]
    looks = style.recipe_looks(tables["scores"])
    places = style.places(points, keys)
    varying = style.varying(places, keys)
    figure, grid = style.panels(places)
    handles = {}
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(points, place, keys)
        style.size_axis(axes, panel["n_train"])
        recipes = sorted(set(panel["recipe"]))
        for i, recipe in enumerate(recipes):
            line = panel[panel["recipe"] == recipe]
            x = style.dodge(axes, line["n_train"].tolist(), i, len(recipes))
            handles[style.show(recipe, labels)] = style.intervals(axes, x, line, *looks[recipe])
        style.score_axis(axes, str(place["metric"]))
        axes.set_title(style.heading(place, varying, labels))
    style.frame(figure, TITLE, style.seeds_note(points["n"]), handles)
    return figure


def sides(table: pd.DataFrame) -> pd.DataFrame:
    """Both sides of the comparisons as points of their own, each once: recipe, n_train and estimate."""
    keys = ["model", "intermediate", "task", "metric", "n_train"]
    parts = [
        table[[*keys, side, *(f"{side}_{name}" for name in ESTIMATE)]].rename(
            columns={side: "recipe", **{f"{side}_{name}": name for name in ESTIMATE}}
        )
        for side in ("finetune", "extract")
    ]
    order = ["model", "intermediate", "task", "recipe", "n_train"]
    return pd.concat(parts).drop_duplicates(order).sort_values(order, ignore_index=True)

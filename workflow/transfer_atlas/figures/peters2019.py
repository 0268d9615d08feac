"""Table 2 of Peters, Ruder & Smith 2019 as a picture: what fine-tuning gains on each task, ours and theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import matplotlib.ticker as ticker
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer_atlas.analysis.claims.peters2019 import MARKED
from transfer_atlas.analysis.markdown import DAGGER
from transfer_atlas.analysis.peters2019 import system_label
from transfer_atlas.figures import style

TITLE = "What fine-tuning gains over extraction (Peters et al. 2019)"
PUBLISHED = "published"
UNLEARNT = "neither side better than a constant answer"


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the differences of the table `peters2019`, one panel for each of the paper's models that was run."""
    table = tables["peters2019"]
    differences = table[table["arm"] == "difference"]
    run = differences[differences["n"] > 0]
    if run.empty:
        return style.not_run(TITLE)
    tasks = list(dict.fromkeys(differences["paper_task"]))
    paper_models = list(dict.fromkeys(run["paper_model"]))
    systems = list(dict.fromkeys(run["system"]))
    height = 0.28 + 0.17 * max(run[run["paper_model"] == name]["system"].nunique() for name in paper_models)
    figure = style.blank(max(5.6, 1.4 + 3.6 * len(paper_models)), len(tasks) * height + 1.7)
    grid = figure.subplots(1, len(paper_models), squeeze=False, sharey=True).ravel().tolist()
    colours = dict(zip(systems, sns.color_palette("colorblind", len(systems)), strict=True))
    handles = {}
    for axes, paper_model in zip(grid, paper_models, strict=True):
        panel = differences[differences["paper_model"] == paper_model]
        here = [system for system in systems if system in set(panel["system"])]
        # A slot for each system, and one for the published mark.
        slots = [(i + 1) * 0.9 / (len(here) + 2) - 0.45 for i in range(len(here) + 1)]
        for i, system in enumerate(here):
            rows = panel[(panel["system"] == system) & (panel["n"] > 0)]
            name = system_label(system, paper_model, labels) + (DAGGER if bool(rows["model_stands_in"].any()) else "")
            places = [tasks.index(task) + slots[i] for task in rows["paper_task"]]
            handles[name] = _points(axes, places, rows, colours[system], style.MARKERS[i % len(style.MARKERS)])
            unlearnt = [learnt == 0 for learnt in rows["learnt"].fillna(1)]
            if any(unlearnt):
                look = {"linestyle": "none", "marker": "x", "markersize": 9, "markeredgewidth": 1.4, "color": "0.15"}
                crossed = [place for place, out in zip(places, unlearnt, strict=True) if out]
                (handles[UNLEARNT],) = axes.plot(rows["mean"][unlearnt], crossed, **look)
        published = panel.drop_duplicates("paper_task").dropna(subset=["published"])
        (handles[PUBLISHED],) = axes.plot(
            published["published"],
            [tasks.index(task) + slots[-1] for task in published["paper_task"]],
            linestyle="none",
            marker="D",
            markersize=5,
            markerfacecolor="none",
            markeredgecolor="0.3",
        )
        axes.axvspan(-MARKED, MARKED, color="0.95", zorder=0)
        axes.axvline(0, color="0.3", linewidth=1, zorder=1)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.set_xlabel("fine-tuning minus extraction, points")
        axes.set_title(paper_model)
        axes.spines[["top", "right", "left"]].set_visible(False)
    standing = set(differences.loc[differences["task_stands_in"].fillna(False).astype(bool), "paper_task"])
    grid[0].set_yticks(range(len(tasks)), [f"{task}{DAGGER if task in standing else ''}" for task in tasks])
    grid[0].set_ylim(len(tasks) - 0.5, -0.5)
    for axes in grid:
        axes.tick_params(axis="y", length=0)
    note = (
        f"{style.seeds_note(run['n']).replace('Means over', 'Mean paired differences over')} Grey: within 1 point. "
        f"{DAGGER}: stands in for the paper's model or data, so not comparable with the published number."
    )
    style.frame(figure, TITLE, note, handles)
    return figure


def _points(axes: Axes, y: list[float], rows: pd.DataFrame, colour: style.Colour, marker: str) -> Any:
    """Means with their intervals, hollow where there is none; the handle for the legend."""
    for place, low, high in zip(y, rows["low"], rows["high"], strict=True):
        axes.plot([low, high], [place, place], color=colour, linewidth=1.4)
    look: dict[str, Any] = {"linestyle": "none", "marker": marker, "markersize": 6, "color": colour}
    (handle,) = axes.plot(rows["mean"], y, **look)
    alone = rows["low"].isna().to_numpy()
    if alone.any():
        axes.plot(rows["mean"][alone], [place for place, one in zip(y, alone, strict=True) if one], **look, mfc="white")
    return handle

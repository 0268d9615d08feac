"""What each intermediate task does to each target: a heat map for each model and train size."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.figures import heat_map, style
from transfer_atlas.figures.heat_map import signed

TITLE = "Which intermediate task helps or hurts which target?"
KEYS = ["model", "recipe", "size"]
# Of a cell, and what a panel and the names of intermediate tasks take besides, in inches.
WIDTH, HEIGHT, AROUND, NAMES = 0.78, 0.46, 1.5, 1.6
# Letters of a target's name that fit below its cells.
LINE = 11
# Font sizes of a gain and of its interval.
NUMBERS = (8.5, 6.0)
# Font size of what stands above a group of targets, and where its line is, in heights of a panel.
HEADING, RULE = 7.5, 1.03
# Cells between one group of targets and the next.
GAP = 0.25


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the column `difference` of the table `intermediate`; fine-tuning only."""
    table = tables["intermediate"]
    table = table[table["method"] == "finetune"]
    if table.empty:
        return style.not_run(TITLE)
    columns = targets(table)
    names = list(dict.fromkeys(table["intermediate"]))
    places = table[[*KEYS, "n_train"]].groupby(KEYS, sort=False)["n_train"].agg(["min", "max"]).reset_index()
    places = places.sort_values(["model", "recipe", "max"], kind="stable")
    varying = style.varying(places, ["model", "recipe"])
    shown = [style.within(table, place, KEYS) for place in places[KEYS].to_dict("records")]
    rows = [[name for name in names if name in set(panel["intermediate"])] for panel in shown]
    heights = [len(row) * HEIGHT for row in rows]
    across = max(columns.values()) + 1
    figure = style.blank(max(5.6, across * WIDTH + NAMES), sum(heights) + len(heights) * AROUND + 1.9)
    bar, *grid = figure.subplots(len(shown) + 1, 1, height_ratios=[heat_map.BAR, *heights]).tolist()
    colours = heat_map.colour_bar(figure, bar, table["difference"] * POINTS)
    for axes, panel, place, row in zip(grid, shown, places.to_dict("records"), rows, strict=True):
        for cell in panel.to_dict("records"):
            mean, low, high = (cell[name] * POINTS for name in ("difference", "difference_low", "difference_high"))
            at = (columns[cell["task"]], row.index(cell["intermediate"]))
            heat_map.cell(axes, at, (mean, low, high), f"{signed(low)} to {signed(high)}", colours, NUMBERS)
        axes.set_xlim(-0.5, across - 0.5)
        axes.set_ylim(len(row) - 0.5, -0.5)
        axes.set_yticks(range(len(row)), [style.show(name, labels) for name in row])
        axes.set_xticks(list(columns.values()), [textwrap.fill(style.show(name, labels), LINE) for name in columns])
        heat_map.bare(axes)
        lines = _headings(axes, table, columns)
        # Above the headings, whose line stands the higher the taller the panel is.
        pad = (RULE - 1) * len(row) * HEIGHT * 72 + lines * HEADING * 1.3 + 6
        axes.set_title(_title(place, varying, labels), pad=pad)
    below = heat_map.interval_note(table["difference_n"], "its 95 % t interval")
    note = (
        "Number: points of the target's test score gained by training on the intermediate task (left) before the "
        f"target (below). {below} Intervals are not corrected for their number; "
        "p_holm in intermediate.csv is. The largest gain or loss sets the ends of the colours. Empty: not run."
    )
    style.frame(figure, TITLE, note, heat_map.legend(colours))
    return figure


def targets(table: pd.DataFrame) -> dict[str, float]:
    """The place of each target from left to right: those of one family and setting side by side, then a gap."""
    kinds = _kinds(table)
    order = sorted(kinds, key=lambda task: (*kinds[task], task))
    places: dict[str, float] = {}
    for i, task in enumerate(order):
        groups = len({kinds[other] for other in order[: i + 1]})
        places[task] = i + GAP * (groups - 1)
    return places


def _kinds(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Family and setting of each target; where intermediate tasks make several settings of it, all of these."""
    return {
        str(task): (group["family"].iloc[0], " or ".join(sorted(set(group["setting"]))))
        for task, group in table.groupby("task", sort=False)
    }


def _headings(axes: Axes, table: pd.DataFrame, columns: Mapping[str, float]) -> int:
    """Family and setting above their targets, with a line that spans them; how many lines of text at most."""
    groups: dict[tuple[str, str], list[float]] = {}
    for task, kind in _kinds(table).items():
        groups.setdefault(kind, []).append(columns[task])
    transform = axes.get_xaxis_transform()
    texts = []
    for (family, setting), places in groups.items():
        first, last = min(places), max(places)
        texts.append(f"{textwrap.fill(family, LINE * len(places))}\n{setting}")
        axes.plot([first - 0.45, last + 0.45], [RULE, RULE], transform=transform, color="0.6", clip_on=False)
        axes.annotate(
            texts[-1],
            ((first + last) / 2, RULE),
            xycoords=transform,
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=HEADING,
            color=style.GREY,
        )
    return max(text.count("\n") + 1 for text in texts)


def _title(place: Mapping[Any, Any], varying: Sequence[str], labels: Mapping[str, str]) -> str:
    least, most = place["min"], place["max"]
    examples = f"{most:,} train examples" if least == most else f"all train examples ({least:,} to {most:,})"
    return ", ".join([*(style.show(str(place[name]), labels) for name in varying), f"{examples} of the target"])

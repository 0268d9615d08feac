"""Which block of layers carries the benefit: score with a block reinitialised, and with nothing but it kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer_atlas.figures import style

TITLE = "Which layers carry the benefit?"
KEYS = ["task", "model", "recipe", "n_train", "blocks"]
KINDS = {
    "block": "block reinitialised",
    "preserve": "block preserved",
    "single": "single layer reinitialised",
}
# Of a place on the axis, between neighbouring lines.
SHIFT = 0.12
# Names of more blocks than this would touch each other in level writing.
LEVEL = 7


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `localised`; blocks of another width, and single layers, have panels of their own."""
    table = tables["localised"]
    if table.empty:
        return style.not_run(TITLE)
    table = table.assign(blocks=blocks(table)).drop_duplicates([*KEYS, "surgery", "lowest"])
    places = style.places(table, KEYS).sort_values("blocks", kind="stable")
    varying = style.varying(places, KEYS)
    figure, grid = style.panels(places, width=3.9, height=3.0)
    lines = table[["kind", "surgery"]].drop_duplicates()
    looks = _looks(lines)
    handles: dict[str, Any] = {}
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(table, place, KEYS)
        here = [surgery for surgery in looks if surgery in set(panel["surgery"])]
        _block_axis(axes, panel)
        handles |= style.baselines(axes, panel)
        for i, surgery in enumerate(here):
            line = panel[panel["surgery"] == surgery].sort_values("lowest")
            x = (line["lowest"] + (i - (len(here) - 1) / 2) * SHIFT).tolist()
            kind = line["kind"].iloc[0]
            several = (lines["kind"] == kind).sum() > 1
            name = KINDS[kind] + (f": {style.show(surgery, labels)}" if several else "")
            handles[name] = style.intervals(axes, x, line, *looks[surgery])
        style.score_axis(axes, str(place["metric"]))
        axes.set_title(style.heading(place, varying, labels))
    note = f"{style.seeds_note(table['n'])} Preserved: all other layers reinitialised."
    note += style.baselines_note(handles, "blocks")
    style.frame(figure, TITLE, note, handles)
    return figure


def blocks(table: pd.DataFrame) -> list[str]:
    """What the rows' blocks have in common, as text: single layers, or their width."""
    widths = (table["highest"] - table["lowest"] + 1).astype(int)
    return [
        "single layers" if kind == "single" else f"blocks of {width}"
        for kind, width in zip(table["kind"], widths, strict=True)
    ]


def _block_axis(axes: Axes, panel: pd.DataFrame) -> None:
    """An axis with a place for each block, called by its layers."""
    ends = panel[["lowest", "highest"]].drop_duplicates().sort_values("lowest").astype(int)
    names = [
        str(low) if low == high else f"{low}\u2013{high}"
        for low, high in zip(ends["lowest"], ends["highest"], strict=True)
    ]
    single = bool((ends["lowest"] == ends["highest"]).all())
    axes.set_xticks(ends["lowest"].tolist(), style.thinned(names) if single else names)
    if not single and len(names) > LEVEL:
        axes.tick_params(axis="x", rotation=90)
    axes.set_xlim(ends["lowest"].min() - 0.6, ends["lowest"].max() + 0.6)
    axes.set_xlabel(f"{'layer' if single else 'layers of the block'} (1: the lowest)")


def _looks(lines: pd.DataFrame) -> dict[str, tuple[style.Colour, str]]:
    """Colour and marker of each surgery, those of one kind next to each other."""
    order = [name for kind in KINDS for name in lines.loc[lines["kind"] == kind, "surgery"]]
    colours = sns.color_palette("colorblind", len(order))
    return {name: (colours[i], style.MARKERS[i % len(style.MARKERS)]) for i, name in enumerate(order)}

"""Score against the number of pretrained layers kept: one panel a task, one line a train size, probing beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer_atlas.analysis.tables import plain
from transfer_atlas.figures import style

TITLE = "How many pretrained layers does the task need?"
KEYS = ["task", "model", "intermediate", "recipe", "surgery"]
# What a probe's curve shares with the panel it is drawn in.
PROBED = ["task", "model", "intermediate"]
DEPTH = "pretrained layers kept (from the bottom)"
# Layers between neighbouring lines, so that their intervals do not hide each other.
SHIFT = 0.09
# Line styles that tell recipes of probes apart.
DASHES = ["--", "-.", ":"]


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the table `layers_kept`, and behind each panel the curve of `layer_probes` at the most train examples.

    A model and task that was probed only has a panel of its own.
    """
    # Size 2000 and all of 2000 examples are one line.
    table = plain(tables["layers_kept"]).drop_duplicates([*KEYS, "n_train", "depth"])
    probes = largest(tables["layer_probes"])
    shown = pd.concat([table, _alone(probes, table)])
    if shown.empty:
        return style.not_run(TITLE)
    places = style.places(shown, KEYS)
    varying = style.varying(places, KEYS)
    figure, grid = style.panels(places, width=3.9, height=3.1)
    handles: dict[str, Any] = {}
    for axes, place in zip(grid, places.to_dict("records"), strict=True):
        panel = style.within(table, place, KEYS)
        handles |= _probes(axes, style.within(probes, place, PROBED), sorted(set(probes["recipe"])), labels)
        sizes = sorted(set(panel["n_train"]))
        colours = style.size_colours(sizes)
        ends = []
        for i, n_train in enumerate(sizes):
            line = panel[panel["n_train"] == n_train].sort_values("depth")
            shift = (i - (len(sizes) - 1) / 2) * SHIFT
            style.intervals(axes, (line["depth"] + shift).tolist(), line, colours[n_train], style.MARKERS[i % 7])
            ends.append((float(line["mean"].iloc[-1]), f"{n_train:,}", colours[n_train]))
        style.score_axis(axes, str(place["metric"]))
        style.label_ends(axes, ends, gap=0.075)
        style.layer_axis(axes, DEPTH)
        axes.set_title(style.heading(place, varying, labels))
    notes = []
    if len(table):
        notes.append("Number at the right of each line: train examples. All other layers reinitialised.")
        notes.append(style.seeds_note(table["n"]))
    if handles:
        examples = " to ".join(f"{n:,}" for n in sorted({probes["n_train"].min(), probes["n_train"].max()}))
        notes.append(
            f"Probing: a linear head on the frozen encoder cut to its bottom layers, {examples} examples, "
            f"n = {style.count_range(probes['n'])}; band: 95 % t interval."
        )
    style.frame(figure, TITLE, " ".join(notes), handles)
    return figure


def largest(probes: pd.DataFrame) -> pd.DataFrame:
    """The rows of each probe's curve (model, intermediate, task, recipe) at the most train examples it was given."""
    curves = [*PROBED, "recipe"]
    most = probes.groupby(curves)["n_train"].transform("max")
    return probes[probes["n_train"] == most].drop_duplicates([*curves, "layer"])


def _alone(probes: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Places and metrics of the probes of models and tasks that have no curve; without recipe and surgery."""
    places = plain(probes)[[*PROBED, "metric"]].drop_duplicates()
    alone, curves = (pd.MultiIndex.from_frame(rows[["model", "task"]]) for rows in (places, table))
    return places[~alone.isin(curves)]


def _probes(axes: Axes, rows: pd.DataFrame, recipes: list[str], labels: Mapping[str, str]) -> dict[str, Any]:
    handles = {}
    for recipe, line in rows.sort_values("layer").groupby("recipe"):
        name = "probing of frozen layers" if len(recipes) == 1 else f"probing: {style.show(str(recipe), labels)}"
        dashes = DASHES[recipes.index(str(recipe)) % len(DASHES)]
        handles[name] = style.band(axes, line["layer"].tolist(), line, "0.45", dashes)
    return handles

"""Whether it matters how layers are reinitialised: the curves of all progressive surgeries, and their differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import matplotlib.ticker as ticker
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.figures import style
from transfer_atlas.figures.layers_kept import DEPTH

TITLE = "Does it matter how layers are reinitialised?"
KEYS = ["task", "model", "recipe", "n_train"]
# Layers between neighbouring lines. Where curves are steep, a larger shift would look like a difference.
SHIFT_OF_CURVES, SHIFT_OF_DIFFERENCES = 0.05, 0.11
# Between the last depth and the mean over depths, of the axis' length.
APART = 0.12
# Inches of a panel's curves and of the differences below them.
HEIGHTS = (2.5, 1.6)
COLUMNS = {"difference": "mean", "difference_low": "low", "difference_high": "high"}

Looks = dict[str, tuple[style.Colour, str]]


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the differences of the table `surgery_variants` below the curves of the table `layers_kept`."""
    differences = tables["surgery_variants"].drop_duplicates([*KEYS, "reference", "variant", "depth"])
    if differences.empty:
        return style.not_run(TITLE)
    curves = tables["layers_kept"].drop_duplicates([*KEYS, "intermediate", "surgery", "depth"])
    curves = curves[curves["intermediate"] == "none"]
    references = list(dict.fromkeys(differences["reference"]))
    surgeries = list(dict.fromkeys([*references, *differences["variant"]]))
    colours = sns.color_palette("colorblind", len(surgeries))
    looks = {name: (colours[i], style.MARKERS[i % len(style.MARKERS)]) for i, name in enumerate(surgeries)}
    places = style.places(differences, KEYS)
    varying = style.varying(places, KEYS)
    rows, columns = style.shape(places)
    figure = style.blank(max(5.2, columns * 3.9), rows * sum(HEIGHTS) + 1.0)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=HEIGHTS * rows)
    for axes in grid.ravel():
        sns.despine(ax=axes)
    handles: dict[str, Any] = {}
    for i in range(rows * columns):
        above, below = grid[2 * (i // columns) : 2 * (i // columns) + 2, i % columns]
        if i >= len(places):
            above.set_axis_off()
            below.set_axis_off()
            continue
        place = places.iloc[i].to_dict()
        panel, compared = style.within(curves, place, KEYS), style.within(differences, place, KEYS)
        for name, handle in _curves(above, panel, looks).items():
            handles[style.show(name, labels) + (", the reference" if references == [name] else "")] = handle
        _differences(below, compared, looks, last=int(panel["depth"].max()))
        above.set_xlim(below.get_xlim())
        above.set_xticks(below.get_xticks(), [])
        style.score_axis(above, str(place["metric"]))
        above.set_title("\n".join([style.heading(place, varying, labels), *_told(compared, references, labels)]))
    note = (
        f"{style.seeds_note(curves['n'])} Below: each minus the reference, paired by seed; mean: over all depths "
        "where a layer is reinitialised, with the interval of that mean. With all layers kept all are the same run."
    )
    style.frame(figure, TITLE, note, handles)
    return figure


def _told(compared: pd.DataFrame, references: list[str], labels: Mapping[str, str]) -> list[str]:
    """Which surgery is the panel's reference, where it is not the same in all panels."""
    if len(references) == 1:
        return []
    return [f"reference: {style.show(name, labels)}" for name in dict.fromkeys(compared["reference"])]


def _curves(axes: Axes, panel: pd.DataFrame, looks: Looks) -> dict[str, Any]:
    """The curve of each surgery; the handles for the legend by surgery."""
    handles = {}
    for surgery in [name for name in looks if name in set(panel["surgery"])]:
        line = panel[panel["surgery"] == surgery].sort_values("depth")
        x = _beside(line["depth"], surgery, looks, SHIFT_OF_CURVES)
        handles[surgery] = style.intervals(axes, x, line, *looks[surgery])
    return handles


def _differences(axes: Axes, compared: pd.DataFrame, looks: Looks, last: int) -> None:
    """Each variant minus the reference at each depth up to `last`, and right of them their mean over depths."""
    axes.axhline(0, color="0.3", linewidth=1, zorder=1)
    mean = last + max(last * APART, 1.0)
    axes.axvline((last + mean) / 2, color="0.8", linewidth=0.8)
    for variant, rows in compared.groupby("variant", sort=False):
        ordered = rows.sort_values("depth", na_position="last")
        points = (ordered[[*COLUMNS]].astype("float64") * POINTS).rename(columns=COLUMNS)
        places = ordered["depth"].astype("float64").fillna(mean)
        # There is more room beside the mean than between depths.
        for part, shift in ((places <= last, SHIFT_OF_DIFFERENCES), (places > last, 1 / len(looks))):
            x = _beside(places[part], str(variant), looks, min(shift, 0.25))
            style.intervals(axes, x, points[part], *looks[str(variant)])
    names = style.thinned([str(depth) for depth in range(last + 1)])
    axes.set_xticks([*range(last + 1), mean], [*names, "mean"])
    axes.set_xlim(-0.5, mean + 0.6)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylabel("difference, points")
    axes.set_xlabel(DEPTH)


def _beside(depths: pd.Series, surgery: str, looks: Looks, shift: float) -> list[float]:
    """The places of a surgery's points: `shift` from those of the next one."""
    offset = (list(looks).index(surgery) - (len(looks) - 1) / 2) * shift
    return [float(depth) + offset for depth in depths]

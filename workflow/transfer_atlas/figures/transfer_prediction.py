"""Transferability scores against the measured gain: one panel a measure, a point for each pair of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import cycle
from typing import Any

import matplotlib
import matplotlib.ticker as ticker
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.analysis.transfer_prediction import GAIN, GROUP, points
from transfer_atlas.figures import style
from transfer_atlas.probing.transferability.measures import (
    CENTROID_DISTANCE,
    H_SCORE,
    H_SCORE_SHRUNK,
    LEEP,
    LOG_ME,
    NCE,
    PROXY_A_DISTANCE,
    TERM_DIVERGENCE,
)

TITLE = "Can one know before training which intermediate task helps?"
# Panels in this order, and what their axes say: what training on the intermediate task changes of a state's score, what
# its head tells of the target, what the score is in itself, and how far the tasks' texts are apart.
MEASURES = {
    LOG_ME + GAIN: ("LogME: change", "nats an example"),
    H_SCORE_SHRUNK + GAIN: ("H-score (shrunk): change", "difference"),
    H_SCORE + GAIN: ("H-score: change", "difference"),
    LEEP: ("LEEP", "nats an example"),
    NCE: ("NCE", "nats an example"),
    LOG_ME: ("LogME", "nats an example"),
    H_SCORE_SHRUNK: ("H-score (shrunk)", "from 0 to classes − 1"),
    H_SCORE: ("H-score", "from 0 to classes − 1"),
    TERM_DIVERGENCE: ("divergence of terms", "bits"),
    CENTROID_DISTANCE: ("distance of centroids", "1 − cosine"),
    PROXY_A_DISTANCE: ("proxy A-distance", "0: alike, 2: told apart"),
}

# How the markers look in text.
SIGNS = dict(zip(style.MARKERS, "●■◆▲▼✚✖", strict=True))


@matplotlib.rc_context(style.STYLE)
def draw(tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> Figure:
    """Draw the tables `transferability` and `transfer_prediction` with the gains of the table `intermediate`."""
    shown = _one_size(points(tables["transferability"], tables["intermediate"]))
    if shown.empty:
        return style.not_run(TITLE)
    told = tables["transfer_prediction"].merge(shown[GROUP].drop_duplicates(), on=GROUP)
    order = [measure for measure in MEASURES if measure in set(shown["measure"])]
    families, models = sorted(set(shown["family"])), sorted(set(shown["model"]))
    colours = dict(zip(families, sns.color_palette("colorblind", len(families)), strict=True))
    markers = dict(zip(models, cycle(style.MARKERS), strict=False))
    figure, grid = style.panels(pd.DataFrame({"measure": order, "task": ""}), height=2.6 + 0.18 * len(models))
    for axes, measure in zip(grid, order, strict=True):
        _points(axes, shown[shown["measure"] == measure], colours, markers)
        title, unit = MEASURES[measure]
        axes.set_title("\n".join([title, *_correlations(told[told["measure"] == measure], markers)]))
        axes.set_xlabel(unit)
        axes.set_ylabel("gain, points")
    style.frame(figure, TITLE, _note(shown), _handles(colours, markers, labels))
    return figure


def _one_size(shown: pd.DataFrame) -> pd.DataFrame:
    """The points of one recipe, kind of head and train size: the most, and of equally many those of the smallest size,
    where most is to be gained."""
    if shown.empty:
        return shown
    sides = [group for _, group in shown.groupby(["recipe", "head", "size"], sort=True)]
    return min(sides, key=lambda side: (-len(side), side["n_train"].min()))


def _points(axes: Axes, pairs: pd.DataFrame, colours: Mapping[str, style.Colour], markers: Mapping[str, str]) -> None:
    for pair in pairs.to_dict("records"):
        look: dict[str, Any] = {"color": colours[pair["family"]], "marker": markers[pair["model"]]}
        axes.plot(pair["score"], pair["gain"] * POINTS, markeredgecolor="white", markeredgewidth=0.5, **look)
    axes.axhline(0, color="0.3", linewidth=1, zorder=1)
    axes.margins(0.08)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))


def _correlations(told: pd.DataFrame, markers: Mapping[str, str]) -> list[str]:
    """Each model's rank correlation with its interval and number of pairs, behind the sign of its points."""
    return [
        (f"{SIGNS[markers[row['model']]]} " if len(markers) > 1 else "")
        + f"{correlation(row['spearman'], row['low'], row['high'])}, n = {row['pairs']}"
        for row in told.sort_values("model").to_dict("records")
    ]


def correlation(rho: float, low: float, high: float) -> str:
    """A rank correlation with its interval, as far as they are defined."""
    if math.isnan(rho):
        return "ρ undefined"
    interval = "" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]"
    return f"ρ = {rho:.2f}{interval}".replace("-", "\u2212")


def _note(shown: pd.DataFrame) -> str:
    sizes = sorted(set(shown["n_train"]))
    examples = " to ".join(f"{size:,}" for size in dict.fromkeys([sizes[0], sizes[-1]]))
    return (
        "A point is an intermediate task before a target: its score before any training on the target, against the "
        f"gain over none measured with {examples} train examples. ρ: Spearman's, with its 95 % interval; pairs that "
        "share a task are not independent, so the intervals are too narrow."
    )


def _handles(
    colours: Mapping[str, style.Colour], markers: Mapping[str, str], labels: Mapping[str, str]
) -> dict[str, Line2D]:
    """Families by colour, and models by marker where there are several."""
    handles = {name: Line2D([], [], linestyle="none", marker="o", color=colour) for name, colour in colours.items()}
    if len(markers) > 1:
        for model, marker in markers.items():
            handles[style.show(model, labels)] = Line2D([], [], linestyle="none", marker=marker, color=style.GREY)
    return handles

"""What all figures share: theme, colours, panels, names, axes, and files with the same bytes every time."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.ticker as ticker
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from transfer_atlas import atomic
from transfer_atlas.analysis.metrics import METRIC_LABELS

Colour = tuple[float, float, float]

GREY = "0.35"
TITLE_SIZE = 11.5
MARKERS = "osD^vPX"
# Two numbers on a log axis closer than this share of it would be written over each other.
TICK_GAP = 0.17
# So many numbers of layers find room below a panel.
MOST_NAMES = 13
# What a changed encoder is measured against: name in the tables, in the legend, colour and line.
BASELINES: dict[str, tuple[str, str, Any]] = {
    "full": ("full: untouched encoder", "0.2", "-"),
    "none": ("none: all layers reinitialised", "0.45", (0, (1, 1.4))),
}

STYLE = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "axes.edgecolor": "0.6",
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 160,
    # Ids in the svg come from a hash; without a fixed salt they are new each time.
    "svg.hashsalt": "transfer-atlas",
}


def blank(width: float, height: float) -> Figure:
    """An empty figure of so many inches that keeps its texts from lying on each other."""
    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def places(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """The combinations of `keys` with their metric, a panel each: the tasks of one combination follow each other."""
    found = table[[*keys, "metric"]].drop_duplicates()
    others = [key for key in keys if key != "task"]
    return (
        found.iloc[found.groupby(others, sort=False, dropna=False).ngroup().argsort(kind="stable")] if others else found
    )


def within(table: pd.DataFrame, place: Mapping[Hashable, Any], keys: Sequence[str]) -> pd.DataFrame:
    """The rows of `table` that belong to the panel `place`."""
    return table[(table[list(keys)] == [place[key] for key in keys]).all(axis=1)]


def shape(places: pd.DataFrame) -> tuple[int, int]:
    """Rows and columns for a panel at each row of `places`; two or three tasks fill a row."""
    count, tasks = len(places), places["task"].nunique()
    columns = tasks if tasks in (2, 3) else min(count, 3)
    return math.ceil(count / columns), columns


def panels(places: pd.DataFrame, width: float = 3.5, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure with a panel (`width` x `height` inches) for each row of `places`."""
    count = len(places)
    rows, columns = shape(places)
    # A single panel still needs the width that its title and legend take.
    figure = blank(max(5.2, columns * width), rows * height + 0.9)
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in grid[count:]:
        unused.set_axis_off()
    for axes in grid[:count]:
        sns.despine(ax=axes)
    return figure, grid[:count]


def frame(figure: Figure, title: str, note: str, handles: Mapping[str, Any] | None = None) -> None:
    """Put what the figure shows and the legend of `handles` on top, and how to read it in small print below."""
    # A letter of the small print takes some 0.062 inches.
    lines = textwrap.wrap(note, int(figure.get_figwidth() / 0.062))
    figure.supxlabel("\n".join(lines), x=0.012, ha="left", fontsize=8, color=GREY)
    if not handles:
        figure.suptitle(title, x=0.012, ha="left", fontsize=TITLE_SIZE, fontweight="bold")
        return
    # What a legend entry takes in inches: its handle and gap, and some 0.085 for a letter of this font.
    entry = 0.6 + 0.085 * max(len(name) for name in handles)
    # The title is the legend's: the layout keeps room for either above the panels, but not for both.
    figure.legend(
        [handles[name] for name in sorted(handles)],
        sorted(handles),
        title=title,
        title_fontproperties={"size": TITLE_SIZE, "weight": "bold"},
        loc="outside upper left",
        ncols=max(1, min(len(handles), int(figure.get_figwidth() / entry))),
        alignment="left",
        borderpad=0,
        borderaxespad=0.8,
        columnspacing=1.8,
        handletextpad=0.5,
    )


def not_run(text: str) -> Figure:
    """A figure that says that its runs were not asked for."""
    figure = blank(5.2, 2.2)
    frame(figure, text, "The configuration asks for no runs that this figure would show.")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.text(0.5, 0.5, "not run", ha="center", va="center", fontsize=16, color="0.6")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write `path` (its ending says the format) so that the same figure gives the same bytes."""
    kind = path.suffix.removeprefix(".")
    # Neither the time nor the library's version belongs to the picture.
    metadata = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}[kind]
    with matplotlib.rc_context(STYLE), atomic.replacing(path) as temporary:
        _settle(figure)
        figure.savefig(temporary, format=kind, metadata=metadata)


def _settle(figure: Figure) -> None:
    """Lay the figure out and keep that, rounded: the solver's last digits depend on where its objects lie in memory."""
    if not isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        return  # It is settled: another file of it was written.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position(original=True).get_points().round(5)))


def show(name: str, labels: Mapping[str, str]) -> str:
    """The display name of an entry."""
    return labels.get(name, name)


def heading(place: Mapping[Any, Any], varying: Iterable[str], labels: Mapping[str, str]) -> str:
    """A panel's title: its task, and on a second line what else tells it from the other panels, where it has it."""
    others = [
        f"{place[name]:,} train examples" if name == "n_train" else show(str(place[name]), labels)
        for name in varying
        if name != "task" and not pd.isna(place[name])
    ]
    return "\n".join([show(place["task"], labels), *([", ".join(others)] if others else [])])


def varying(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of the columns that hold more than one value."""
    return [name for name in names if table[name].nunique() > 1]


def recipe_looks(scores: pd.DataFrame) -> dict[str, tuple[Colour, str]]:
    """Colour and marker of each recipe of the study, the same in every figure and safe for colour-blind readers."""
    names = sorted(set(scores["recipe"]))
    colours = sns.color_palette("colorblind", max(len(names), 1))
    return {name: (colours[i], MARKERS[i % len(MARKERS)]) for i, name in enumerate(names)}


def size_colours(sizes: Sequence[int]) -> dict[int, Colour]:
    """A colour for each train size, darker for more examples."""
    return dict(zip(sizes, sns.color_palette("viridis_r", len(sizes)), strict=True))


def intervals(axes: Axes, x: Sequence[float], table: pd.DataFrame, colour: Colour, marker: str) -> Any:
    """A line through the means with their 95 % intervals; a mean without interval is a hollow marker.

    `table` has the columns mean, low and high. Returns the handle for the legend.
    """
    mean, low, high = (table[name].to_numpy(dtype="float64") for name in ("mean", "low", "high"))
    alone = pd.isna(low)
    axes.errorbar(x, mean, yerr=[mean - low, high - mean], fmt="none", ecolor=colour, elinewidth=1.1, capsize=2.5)
    (line,) = axes.plot(x, mean, color=colour, marker=marker, markeredgecolor="white", markeredgewidth=0.5)
    hollow = [value for value, single in zip(x, alone, strict=True) if single]
    axes.plot(hollow, mean[alone], linestyle="none", marker=marker, markerfacecolor="white", markeredgecolor=colour)
    return line


def band(axes: Axes, x: Sequence[float], table: pd.DataFrame, colour: str, linestyle: Any) -> Any:
    """A line through the means with their 95 % intervals as a band; `table` as of `intervals`. Returns the handle."""
    mean, low, high = (table[name].to_numpy(dtype="float64") for name in ("mean", "low", "high"))
    axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0, zorder=0.8)
    (line,) = axes.plot(x, mean, color=colour, linestyle=linestyle, linewidth=1.3, zorder=1.5)
    return line


def baselines(axes: Axes, rows: pd.DataFrame) -> dict[str, Any]:
    """What an untouched and a wholly reinitialised encoder score, across the panel; the handles for the legend.

    `rows` has the columns full_mean, full_low, full_high, none_mean, none_low and none_high; what was not run is NA.
    """
    handles = {}
    for name, (text, colour, linestyle) in BASELINES.items():
        columns = {f"{name}_{part}": part for part in ("mean", "low", "high")}
        levels = rows[list(columns)].rename(columns=columns).dropna(subset="mean").drop_duplicates()
        for level in range(len(levels)):
            across = levels.iloc[[level, level]]
            handles[text] = band(axes, axes.get_xlim(), across, colour, linestyle)
    return handles


def baselines_note(handles: Mapping[str, Any], what: str) -> str:
    """How to read the levels that `baselines` drew, for the small print; empty where it drew none."""
    if not any(text in handles for text, _, _ in BASELINES.values()):
        return ""
    return f" Levels: what {what} are measured against; bands: the same interval."


def layer_axis(axes: Axes, name: str) -> None:
    """An axis of layers, whole numbers."""
    axes.xaxis.set_major_locator(ticker.MaxNLocator(13, integer=True, min_n_ticks=1))
    axes.set_xlabel(name)


def thinned(names: Sequence[str]) -> list[str]:
    """The names that a panel's axis has room for: of many short ones every second, or every third, and the last."""
    step = math.ceil(len(names) / MOST_NAMES)
    return [name if (len(names) - 1 - i) % step == 0 else "" for i, name in enumerate(names)]


def score_axis(axes: Axes, metric: str) -> None:
    """Label the y axis with the metric it shows."""
    axes.set_ylabel(f"test {METRIC_LABELS.get(metric, metric)}")
    axes.yaxis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))


def size_axis(axes: Axes, sizes: Iterable[int]) -> None:
    """A logarithmic axis of train examples with ticks at the sizes that were run."""
    values = sorted(set(sizes))
    axes.set_xscale("log")
    low, high = (values[0] / 1.35, values[-1] * 1.35) if len(values) > 1 else (values[0] / 3, values[0] * 3)
    axes.set_xlim(low, high)
    named: list[int] = []
    for value in reversed(values):
        if not named or math.log(named[-1] / value) > TICK_GAP * math.log(high / low):
            named.append(value)
    axes.xaxis.set_major_locator(ticker.FixedLocator(named))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(ticker.FixedLocator([value for value in values if value not in named]))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("train examples")


def seconds_axis(axes: Axes, seconds: Sequence[float]) -> None:
    """A logarithmic axis of seconds; over less than two decades 2 and 5 are named beside the powers of ten."""
    axes.set_xscale("log")
    axes.margins(x=0.18)
    wide = max(seconds) / min(seconds) > 100
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("seconds a run")


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, Colour]], gap: float) -> None:
    """Write each line's name at the right edge beside its last value, pushed apart to `gap` of the axis' height."""
    bottom, top = axes.get_ylim()
    places = spread([(value - bottom) / (top - bottom) for value, _, _ in ends], gap)
    for place, (_, text, colour) in zip(places, ends, strict=True):
        axes.annotate(
            text, (1.0, place), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points", va="center"
        ).set_color(colour)


def dodge(axes: Axes, sizes: Sequence[int], i: int, count: int) -> list[float]:
    """The places of line `i` of `count` on a size axis: beside each other, so that no interval hides another."""
    low, high = axes.get_xlim()
    step = (high / low) ** 0.016
    return [size * step ** (i - (count - 1) / 2) for size in sizes]


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The places nearest to `places`, in the same order, of which no two are closer than `gap`.

    Neighbours that are too close are spaced evenly around their common mean (pool adjacent violators).
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    # Less i * gap, the places only have to be in order; a block shares one such value.
    blocks: list[list[float]] = []
    for rank, i in enumerate(order):
        blocks.append([places[i] - rank * gap])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1].extend(last)
    levels = [_mean(block) for block in blocks for _ in block]
    found = [0.0] * len(places)
    for rank, i in enumerate(order):
        found[i] = levels[rank] + rank * gap
    return found


def count_range(counts: Iterable[float]) -> str:
    """The numbers of seeds as text: 3, or 3 to 5; empty without any."""
    seen = sorted({int(count) for count in counts if not pd.isna(count)})
    return " to ".join(str(count) for count in dict.fromkeys(seen[:1] + seen[-1:]))


def seeds_note(counts: Iterable[float]) -> str:
    """How many seeds are behind the points, for the small print."""
    seeds = count_range(counts)
    if not seeds:
        return ""
    if seeds == "1":
        return "One seed: no interval."
    hollow = " Hollow: one seed, no interval." if seeds.startswith("1 ") else ""
    return f"Means over n = {seeds} seeds; bars: 95 % t interval.{hollow}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)

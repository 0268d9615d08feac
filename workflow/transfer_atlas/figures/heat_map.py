"""What heat maps of gains share: one scale of colours around 0, cells that say how sure they are, and their legend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from transfer_atlas.figures import style

# ColorBrewer's: safe for colour-blind readers, white at 0, blue for gains.
PALETTE = "RdBu"
# Height of the colour bar in inches.
BAR = 0.13
# How much of a cell's colour is left where the gain may be none.
PALE = 0.3
# Numbers on a colour of less brightness are white.
DARK = 0.5
UNCLEAR = "the interval holds 0, or there is none"
CLEAR = "the interval excludes 0"


def colour_bar(figure: Figure, bar: Axes, gains: Iterable[float]) -> ScalarMappable:
    """The colours of gains, in points, whose ends the largest gain or loss sets; drawn as the figure's `bar`."""
    largest = np.abs([gain for gain in gains if not math.isnan(gain)]).max(initial=0.0)
    colours = ScalarMappable(CenteredNorm(0, largest if largest > 0 else 1.0), matplotlib.colormaps[PALETTE])
    figure.colorbar(colours, cax=bar, orientation="horizontal", label="gain, points")
    bar.xaxis.set_label_position("top")
    bar.spines["outline"].set_visible(False)
    return colours


def bare(axes: Axes) -> None:
    """Leave of the axes what names rows and columns: the cells draw the rest."""
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def cell(
    axes: Axes,
    place: tuple[float, float],
    gain: tuple[float, float, float],
    below: str,
    colours: ScalarMappable,
    sizes: tuple[float, float] = (8.5, 6.5),
) -> None:
    """One gain at its place (x, y): the colour, the number and below it how sure it is.

    Args:
        gain: the mean and its interval, in points; NaN where there is none.
        below: what is told of the interval, where there is one.
        sizes: of the number and of what is below it.
    """
    (x, y), (mean, low, high) = place, gain
    clear = low > 0 or high < 0
    red, green, blue, _ = colours.to_rgba(np.array([0.0 if math.isnan(mean) else mean]))[0].tolist()
    colour = red, green, blue
    box = Rectangle((x - 0.5, y - 0.5), 1, 1, edgecolor="white", linewidth=1.2, facecolor=colour)
    axes.add_patch(box if clear else _doubtful(box, colour))
    dark = clear and 0.3 * red + 0.59 * green + 0.11 * blue < DARK
    look: dict[str, Any] = {"ha": "center", "va": "center", "color": "white" if dark else "black" if clear else "0.38"}
    known = not math.isnan(low)
    weight = "bold" if clear else "normal"
    axes.text(x, y - 0.13 if known else y, signed(mean), fontsize=sizes[0], fontweight=weight, **look)
    if known:
        axes.text(x, y + 0.24, below, fontsize=sizes[1], **look)


def legend(colours: ScalarMappable) -> dict[str, Patch]:
    """What full and pale colours mean."""
    example = colours.get_cmap()(0.85)[:3]
    return {CLEAR: Patch(facecolor=example), UNCLEAR: _doubtful(Patch(), example)}


def interval_note(counts: Iterable[float], below: str) -> str:
    """What is written below the numbers, for the small print."""
    seeds = style.count_range(counts)
    if seeds == "1":
        return "One seed: no interval."
    return f"Below it: {below} over n = {seeds} seeds, paired."


def signed(gain: float) -> str:
    """A difference as it is printed: with sign, one digit, and no negative zero."""
    if math.isnan(gain):
        return "n/a"
    text = f"{gain:+.1f}".replace("-", "\u2212")
    return "0.0" if text[1:] == "0.0" else text


def _doubtful(patch: Patch, colour: Sequence[float]) -> Patch:
    """The patch, pale and hatched."""
    red, green, blue = (1 - PALE * (1 - part) for part in colour)
    patch.set(facecolor=(red, green, blue), hatch="////", edgecolor="0.86", linewidth=0)
    return patch

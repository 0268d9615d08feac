"""What the figures of layers kept, reinitialised, permuted and probed show, read back from the drawn figure."""

import itertools
import math

import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from transfer_atlas.figures import (
    heat_map,
    layer_gains,
    layers_kept,
    localised,
    permutations,
    seed_scatter,
    surgery_variants,
)

LABELS = {"films": "Film reviews", "resets": "Biases reset", "keeps": "Biases kept"}
NONE = {"full": "full: untouched encoder", "none": "none: all layers reinitialised"}


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison and axes.get_title(loc="left")]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def joined(axes, linestyle: str = "-") -> list[Line2D]:
    """The lines of that style that are not empty."""
    return [line for line in axes.lines if line.get_linestyle() == linestyle and len(line.get_ydata())]


def lines(axes, linestyle: str = "-") -> list[list[float]]:
    """Their y values."""
    return [list(line.get_ydata()) for line in joined(axes, linestyle)]


def without(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """The table with no value in these columns."""
    return table.assign(**dict.fromkeys(names, math.nan))


def one_seed(table: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    return without(table, f"{prefix}sd", f"{prefix}low", f"{prefix}high").assign(**{f"{prefix}n": 1})


def cells(axes) -> dict[tuple[float, float], Rectangle]:
    """The cells of a heat map by layer and row."""
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return {(cell.get_x() + 0.5, cell.get_y() + 0.5): cell for cell in found}


def cell_texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def layers(table: pd.DataFrame, count: int) -> pd.DataFrame:
    """The gains of one panel's first layer, repeated for `count` layers."""
    one = table[(table["task"] == "films") & (table["layer"] == 1)]
    return pd.concat([one.assign(layer=layer) for layer in range(1, count + 1)])


def test_layers_kept_shows_the_probes_of_the_most_examples(made):
    figure = layers_kept.draw(made, LABELS)
    assert legend(figure) == ["probing of frozen layers"]
    assert lines(figure.axes[0], "--") == [pytest.approx([0.42 + layer / 100 for layer in range(7)])]
    assert "2,000 examples, n = 3" in figure.get_supxlabel()
    (band,) = figure.axes[0].collections[:1]
    assert band.get_datalim(figure.axes[0].transData).ymin == pytest.approx(0.42 - 0.025)


def test_layers_kept_tells_recipes_of_probes_apart_and_does_without_probes(made):
    probes = made["layer_probes"]
    two = pd.concat([probes, probes.assign(recipe="first")])
    assert legend(layers_kept.draw({**made, "layer_probes": two}, {"first": "first token"})) == [
        "probing: extract",
        "probing: first token",
    ]
    figure = layers_kept.draw({**made, "layer_probes": probes.iloc[:0]}, LABELS)
    assert figure.legends == [] and "robing" not in figure.get_supxlabel()


def test_layers_kept_of_probes_alone(made):
    figure = layers_kept.draw({**made, "layers_kept": made["layers_kept"].iloc[:0]}, LABELS)
    assert titles(figure) == ["Film reviews", "news", "similarity"] and legend(figure) == ["probing of frozen layers"]
    assert lines(figure.axes[0], "--") == [pytest.approx([0.42 + layer / 100 for layer in range(7)])]
    assert figure.get_supxlabel().startswith("Probing") and "n = 3; band:" in figure.get_supxlabel()


def test_layers_kept_of_what_was_probed_only_beside_what_was_not(made):
    table = made["layers_kept"][made["layers_kept"]["task"] == "news"]
    probes = made["layer_probes"]
    probes = pd.concat([probes, probes.assign(intermediate="reviews"), probes.assign(model="large")])
    figure = layers_kept.draw({"layers_kept": table, "layer_probes": probes}, LABELS)
    found = titles(figure)
    assert sorted(found) == sorted(
        [
            *("news\ntiny, Biases reset", "news\ntiny, Biases kept", "Film reviews\ntiny", "similarity\ntiny"),
            *("Film reviews\nlarge", "news\nlarge", "similarity\nlarge"),
        ]
    )
    panels = dict(zip(found, (axes for axes in figure.axes if axes.axison), strict=True))
    assert [len(lines(panels[name], "-")) for name in ("news\ntiny, Biases reset", "Film reviews\ntiny")] == [3, 0]


def test_layer_gains_print_points_with_their_interval(made):
    figure = layer_gains.draw(made, LABELS)
    assert titles(figure) == ["Film reviews", "news", "similarity"]
    axes = figure.axes[1]
    assert cell_texts(axes)[:8] == ["+10.0", "±2.5", "−5.0", "±2.5", "+2.0", "±2.5", "+2.0", "±2.5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["100", "500", "2,000"]
    assert [label.get_text() for label in axes.get_xticklabels()] == list("123456")
    # Fewest examples on top.
    assert axes.get_ylim() == (2.5, -0.5)
    assert "n = 3 seeds, paired" in figure.get_supxlabel()


def test_layer_gains_pale_where_the_interval_holds_0(made):
    axes = layer_gains.draw(made, LABELS).axes[1]
    found = cells(axes)
    assert len(found) == 18
    hatched = {layer for (layer, _), cell in found.items() if cell.get_hatch()}
    assert hatched == {3, 4, 5, 6}
    (red, _, blue), (lost, _, lacks) = (to_rgb(found[layer, 0].get_facecolor()) for layer in (1, 2))
    assert blue > red and lost > lacks
    # A clear gain of the same size is darker.
    table = made["layer_gains"].assign(gain_low=0.01)
    sure = cells(layer_gains.draw({**made, "layer_gains": table}, LABELS).axes[1])
    assert sum(to_rgb(sure[3, 0].get_facecolor())) < sum(to_rgb(found[3, 0].get_facecolor())) - 0.1


def test_layer_gains_share_one_scale_centred_on_0(made):
    table = made["layer_gains"]
    smaller = table.assign(gain=table["gain"].where(table["task"] == "films", table["gain"] / 5))
    figure = layer_gains.draw({**made, "layer_gains": smaller}, LABELS)
    assert figure.axes[0].get_xlim() == pytest.approx((-10, 10))
    first, second = (to_rgb(cells(axes)[1, 0].get_facecolor()) for axes in figure.axes[1:3])
    assert sum(first) < sum(second) - 0.5


def test_layer_gains_of_one_seed_or_undefined_have_no_interval(made):
    table = one_seed(made["layer_gains"].iloc[:2], "gain_")
    figure = layer_gains.draw({**made, "layer_gains": table.assign(gain=[0.1, math.nan])}, LABELS)
    assert cell_texts(figure.axes[1]) == ["+10.0", "n/a"]
    assert all(cell.get_hatch() for cell in cells(figure.axes[1]).values())
    assert "One seed: no interval." in figure.get_supxlabel()


@pytest.mark.parametrize("count", [1, 2, 12, 24])
def test_layer_gains_fit_their_cells(made, count):
    table = layers(made["layer_gains"], count).assign(gain=-0.1234, gain_low=-0.3, gain_high=0.1)
    figure = layer_gains.draw({**made, "layer_gains": table}, LABELS)
    figure.draw_without_rendering()
    axes = figure.axes[1]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 2 * 3 * count
    # Neighbours in a row, and those below.
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_layer_gains_of_zero_have_no_sign():
    assert [heat_map.signed(gain) for gain in (-0.04, 0.04, 0.05001, -0.06)] == ["0.0", "0.0", "+0.1", "−0.1"]


def test_size_as_number_and_as_all_are_one_row(made):
    table = made["layer_gains"]
    twice = pd.concat([table, table[table["size"] == "all"].assign(size="2000")])
    axes = layer_gains.draw({**made, "layer_gains": twice}, LABELS).axes[1]
    assert len(cells(axes)) == 18


def test_localised_shows_blocks_and_single_layers_apart(made):
    figure = localised.draw(made, LABELS)
    tasks = ["Film reviews", "news", "similarity"]
    assert titles(figure) == [f"{task}\n{kind}" for kind in ("blocks of 3", "single layers") for task in tasks]
    assert legend(figure) == ["block preserved", "block reinitialised", *NONE.values(), "single layer reinitialised"]
    blocks, singles = figure.axes[0], figure.axes[3]
    assert [label.get_text() for label in blocks.get_xticklabels()] == ["1–3", "2–4", "3–5", "4–6"]
    assert [label.get_text() for label in singles.get_xticklabels()] == list("123456")
    rising = pytest.approx([0.51, 0.52, 0.53, 0.54])
    assert lines(blocks) == [[0.6, 0.6], rising, rising]
    # Two lines stand beside each other.
    left, right = [list(line.get_xdata()) for line in joined(blocks) if len(line.get_xdata()) == 4]
    assert all(a < b for a, b in zip(left, right, strict=True))


LEVELLED = pytest.mark.parametrize(
    ("name", "draw"), [("localised", localised.draw), ("permutations", permutations.draw)]
)


@LEVELLED
def test_levels_are_explained_where_there_are_any(made, name, draw):
    assert "Levels: what" in draw(made, LABELS).get_supxlabel()
    levels = (f"{level}_{part}" for level in NONE for part in ("mean", "low", "high"))
    figure = draw({**made, name: without(made[name], *levels)}, LABELS)
    assert not set(NONE.values()) & set(legend(figure))
    assert "evel" not in figure.get_supxlabel() and "bands" not in figure.get_supxlabel()


@pytest.mark.parametrize("missing", ["full", "none"])
@LEVELLED
def test_baselines_that_were_not_run_are_not_drawn(made, name, draw, missing):
    table = without(made[name], *(f"{missing}_{part}" for part in ("mean", "low", "high")))
    figure = draw({**made, name: table}, LABELS)
    assert NONE[missing] not in legend(figure) and len(set(NONE.values()) & set(legend(figure))) == 1


def test_baselines_are_levels_with_bands(made):
    axes = permutations.draw(made, LABELS).axes[0]
    full, none = (line for line in axes.lines if line.get_marker() == "None" and len(line.get_ydata()) == 2)
    assert list(full.get_ydata()) == [0.6, 0.6] and list(none.get_ydata()) == [0.5, 0.5]
    assert list(full.get_xdata()) == list(axes.get_xlim())
    spans = [area.get_datalim(axes.transData) for area in axes.collections[:2]]
    assert [(span.ymin, span.ymax) for span in spans] == [pytest.approx((0.575, 0.635)), pytest.approx((0.475, 0.535))]


def test_surgeries_of_one_kind_are_called_by_their_labels(made):
    table = made["localised"]
    table = pd.concat([table, table[table["surgery"] == "blocks"].assign(surgery="other")])
    names = legend(localised.draw({**made, "localised": table}, {"other": "small weights"}))
    assert "block reinitialised: blocks" in names and "block reinitialised: small weights" in names
    assert "block preserved" in names


@pytest.mark.parametrize(("count", "boxes"), [(1, 0), (3, 0), (4, 1), (10, 1)])
def test_permutations_are_points_and_a_box_if_there_are_enough(made, count, boxes):
    table = made["permutations"][made["permutations"]["permutation"] <= count]
    figure = permutations.draw({**made, "permutations": table}, LABELS)
    assert titles(figure) == ["Film reviews", "news", "similarity"]
    axes = figure.axes[0]
    names = [str(number) for number in range(1, count + 1)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["all"] * boxes + names
    assert len(axes.patches) == boxes
    assert ("Box:" in figure.get_supxlabel()) == bool(boxes)
    (points,) = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_ydata())]
    assert list(points.get_ydata()) == pytest.approx([0.5 + number / 100 for number in range(1, count + 1)])
    assert points.get_linestyle() == "None"


def test_permutations_of_one_task(made):
    table = made["permutations"][made["permutations"]["task"] == "news"]
    assert titles(permutations.draw({**made, "permutations": table}, LABELS)) == ["news"]


def test_seed_scatter_shows_every_run_of_the_fewest_examples(made):
    figure = seed_scatter.draw(made, LABELS)
    assert titles(figure) == ["Film reviews", "news", "similarity"]
    assert "100 train examples" in figure.get_supxlabel() and "n = 3 seeds" in figure.get_supxlabel()
    axes = figure.axes[0]
    (runs,) = [line for line in axes.lines if line.get_marker() == "o" and len(line.get_ydata())]
    assert len(runs.get_ydata()) == 7 * 3
    assert sorted(runs.get_ydata()[:3]) == pytest.approx([0.49, 0.5, 0.51])
    # A depth's runs stand nearer to it than to the next one.
    assert all(abs(x - round(x)) < 0.5 for x in runs.get_xdata())
    (mean,) = [line for line in axes.lines if line.get_marker() == "D" and len(line.get_ydata())]
    assert list(mean.get_ydata()) == pytest.approx([0.5 + 0.02 * depth for depth in range(7)])


def test_seed_scatter_of_one_seed_is_hollow(made):
    table = made["layer_scores"][made["layer_scores"]["seed"] == 1]
    figure = seed_scatter.draw({**made, "layer_scores": table}, LABELS)
    assert "One seed: no interval." in figure.get_supxlabel()


def test_surgery_variants_show_curves_and_below_their_differences_in_points(made):
    figure = surgery_variants.draw(made, LABELS)
    sizes = ("100", "500", "2,000")
    tasks = ("Film reviews", "news", "similarity")
    assert titles(figure) == [f"{task}\n{size} train examples" for size in sizes for task in tasks]
    assert legend(figure) == ["Biases kept", "Biases reset, the reference"]
    above, below = figure.axes[0], figure.axes[3]
    assert above.get_xlim() == below.get_xlim()
    assert [len(line) for line in lines(above)] == [7, 7]
    depths, mean = [line for line in lines(below) if line not in ([0, 0], [0, 1])]
    assert depths == pytest.approx([3.0] * 7) and mean == pytest.approx([4.0])
    assert [label.get_text() for label in below.get_xticklabels()] == [*"0123456", "mean"]
    bars = [part for container in below.containers for part in container.lines[2][0].get_segments()]
    assert (bars[0][0][1], bars[0][1][1]) == pytest.approx((0.5, 5.5))


def test_the_reference_is_said_in_each_panel_where_it_differs(made):
    table, kept = made["surgery_variants"], made["layers_kept"]
    news = table["task"] == "news"
    swapped = table.assign(
        reference=table["reference"].mask(news, "keeps"), variant=table["variant"].mask(news, "slow")
    )
    slow = kept[kept["surgery"] == "resets"].assign(surgery="slow")
    tables = {"layers_kept": pd.concat([kept, slow]), "surgery_variants": swapped[swapped["n_train"] == 500]}
    figure = surgery_variants.draw(tables, LABELS)
    assert titles(figure) == [
        "Film reviews\nreference: Biases reset",
        "news\nreference: Biases kept",
        "similarity\nreference: Biases reset",
    ]
    assert legend(figure) == ["Biases kept", "Biases reset", "slow"]


def test_many_layers_are_not_all_named(made):
    kept = made["layers_kept"]
    kept = pd.concat([kept[kept["depth"] == 0].assign(depth=depth) for depth in range(25)])
    axes = surgery_variants.draw({**made, "layers_kept": kept}, LABELS).axes[3]
    named = [label.get_text() for label in axes.get_xticklabels() if label.get_text()]
    assert named == [*(str(depth) for depth in range(0, 25, 2)), "mean"]


def test_every_interval_missing_is_said(made):
    table = one_seed(made["localised"])
    figure = localised.draw({**made, "localised": table}, LABELS)
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert sum(len(line.get_xdata()) for line in hollow) == 8
    assert figure.get_supxlabel().startswith("One seed: no interval.")

"""What the figures of intermediate tasks show, read back from the drawn figure."""

import itertools

import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from transfer_atlas.figures import intermediate, transfer_gain, transfer_matrix

LABELS = {"reviews": "IMDb", "films": "Film reviews", "bert": "BERT"}


def draw(figure, table: pd.DataFrame):
    """The figure of this table `intermediate`."""
    return figure.draw({"intermediate": table, "scores": table}, LABELS)


def panels(figure) -> dict[str, object]:
    """The axes by title."""
    return {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}


def cells(axes) -> dict[tuple[str, str], tuple[str, bool]]:
    """The number and whether it is clear, by intermediate task and target."""
    across = {x: label.get_text() for x, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    down = [label.get_text() for label in axes.get_yticklabels()]
    clear = {
        (round(box.get_x() + 0.5, 3), round(box.get_y() + 0.5)): box.get_hatch() is None
        for box in axes.patches
        if isinstance(box, Rectangle)
    }
    found = {}
    for text in axes.texts:
        x, y = text.get_position()
        if round(x, 3) in across and (round(x, 3), round(y + 0.13)) in clear and text.get_fontsize() > 8:
            found[down[round(y + 0.13)], across[x]] = (text.get_text(), clear[round(x, 3), round(y + 0.13)])
    return found


def test_the_matrix_has_a_panel_for_each_model_and_size_and_a_number_in_each_cell(transfers):
    found = panels(draw(transfer_matrix, transfers))
    assert list(found) == [
        "BERT, 200 train examples of the target",
        "BERT, all train examples (2,005 to 2,009) of the target",
        "roberta, 200 train examples of the target",
        "roberta, all train examples (2,005 to 2,009) of the target",
    ]
    assert cells(found["BERT, 200 train examples of the target"]) == {
        ("IMDb", "filme"): ("+5.0", True),
        ("IMDb", "Film\nreviews"): ("\u22121.0", False),
        ("news", "Film\nreviews"): ("\u22121.0", False),
        ("IMDb", "fragen"): ("+5.0", True),
        ("IMDb", "questions"): ("\u22123.0", True),
    }


def test_targets_stand_by_family_and_setting(transfers):
    places = transfer_matrix.targets(transfers)
    assert list(places) == ["filme", "films", "fragen", "questions"]
    # Each is a group of its own here; a second German target of topics stands close to the first.
    more = transfers[transfers["task"] == "fragen"].assign(task="themen")
    places = transfer_matrix.targets(pd.concat([transfers, more]))
    assert places["themen"] - places["fragen"] == 1 < places["questions"] - places["themen"]


def test_the_intervals_are_written_below(transfers):
    axes = panels(draw(transfer_matrix, transfers))["BERT, 200 train examples of the target"]
    written = {text.get_text() for text in axes.texts}
    assert {"+2.5 to +7.5", "\u22125.5 to \u22120.5", "\u22123.5 to +1.5"} <= written
    assert {"sentiment\ndomain", "sentiment\ncross-lingual", "topics\ndomain", "topics\ncross-lingual"} <= written


def test_the_gain_has_a_panel_for_each_target_and_a_line_for_each_intermediate_task_and_model(transfers):
    figure = draw(transfer_gain, transfers)
    found = panels(figure)
    assert list(found) == [
        "filme\nsentiment, cross-lingual",
        "Film reviews\nsentiment, domain",
        "fragen\ntopics, cross-lingual",
        "questions\ntopics, domain",
    ]
    axes = found["Film reviews\nsentiment, domain"]
    solid = [line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() != "None"]
    assert [list(line.get_ydata()) for line in solid] == [pytest.approx([gain] * 2) for gain in (-1, -1, 0, 0)]
    assert len({(line.get_color(), line.get_marker()) for line in solid}) == 4
    bands = [part.get_paths()[0].get_extents() for part in axes.collections]
    assert len(bands) == 4 and (bands[0].ymin, bands[0].ymax) == pytest.approx((-3.5, 1.5))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        *("IMDb, BERT", "IMDb, roberta", "news, BERT", "news, roberta")
    ]


def test_the_control_is_dashed_where_it_was_run(transfers):
    figure = draw(transfer_gain, transfers)
    axes = panels(figure)["questions\ntopics, domain"]
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == pytest.approx([1.0, 1.0])
    assert all(pd.isna(line.get_ydata()[1]) for line in dashed)
    assert "Dashed" in figure.get_supxlabel()
    assert "Dashed" not in draw(transfer_gain, transfers.assign(budget_mean=float("nan"))).get_supxlabel()


def test_frozen_encoders_are_left_to_the_figure_of_differences(transfers):
    frozen = transfers.assign(method="extract", recipe="extract", difference=0.9)
    together = pd.concat([transfers, frozen])
    assert list(panels(draw(transfer_matrix, together))) == list(panels(draw(transfer_matrix, transfers)))
    limits = [axes.get_ylim()[1] for axes in draw(transfer_gain, together).axes[:4]]
    assert max(limits) < 20


def test_many_comparisons_are_told_at_the_largest_size_only(transfers):
    few = draw(intermediate, transfers)
    assert len(few.axes[0].get_yticks()) == 20
    third = transfers.assign(model="xlnet")
    many = draw(intermediate, pd.concat([transfers, third]))
    names = [label.get_text() for label in many.axes[0].get_yticklabels()]
    assert len(names) == 15 and "IMDb \u2192 Film reviews, BERT" in names
    assert "At the largest train size" in many.get_supxlabel()
    assert many.get_figheight() < few.get_figheight()


@pytest.mark.parametrize("figure", [transfer_matrix, transfer_gain], ids=lambda module: module.__name__)
def test_no_text_lies_on_another(transfers, figure):
    drawn = draw(figure, transfers)
    drawn.draw_without_rendering()
    boxes = {"legend": drawn.legends[0].get_window_extent(), "note": drawn._supxlabel.get_window_extent()}
    for i, axes in enumerate(drawn.axes):
        named = [axes.xaxis.label, axes.yaxis.label, axes._left_title, *axes.texts]
        named += [*axes.get_xticklabels(), *axes.get_yticklabels()] if axes.texts else []
        boxes |= {(i, j): text.get_window_extent() for j, text in enumerate(named) if text.get_text()}
    together = [(a, b) for a, b in itertools.combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]
    assert together == []

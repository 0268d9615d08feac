"""What the figures show, read back from the drawn figure."""

import itertools

import pandas as pd
import pytest

from transfer_atlas.figures import (
    costs,
    finetune_vs_extract,
    intermediate,
    layer_curves,
    layer_gains,
    layers_kept,
    localised,
    permutations,
    peters2019,
    seed_scatter,
    surgery_variants,
    transfer_gain,
    transfer_matrix,
    transfer_prediction,
)

LABELS = {"films": "Film reviews", "finetune": "Fine-tuning", "reviews": "IMDb"}


def texts(figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def of_surgery(made: dict[str, pd.DataFrame], surgery: str) -> dict[str, pd.DataFrame]:
    table = made["layers_kept"]
    return {**made, "layers_kept": table[table["surgery"] == surgery]}


def means(axes) -> list[list[float]]:
    """The y values of each line that joins means."""
    return [list(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "-" and len(line.get_ydata()) > 2]


def bars(axes) -> list[tuple[float, float]]:
    """Lower and upper end of every error bar."""
    found = [part for container in axes.containers for part in container.lines[2][0].get_segments()]
    return [(segment[0][1], segment[1][1]) for segment in found]


def test_finetune_vs_extract_has_a_panel_a_task(made):
    figure = finetune_vs_extract.draw(made, LABELS)
    assert titles(figure) == ["Film reviews", "news", "similarity"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["test accuracy", "test accuracy", "test Pearson's r"]
    assert legend(figure) == ["Fine-tuning", "extract", "extract_mix"]
    assert "n = 3 seeds" in figure.get_supxlabel()


def test_finetune_vs_extract_draws_each_recipe_once_with_its_interval(made):
    axes = finetune_vs_extract.draw(made, LABELS).axes[0]
    drawn = means(axes)
    assert len(drawn) == 3
    assert drawn[0] == pytest.approx([0.6, 0.635, 0.665], abs=0.001)
    low, high = bars(axes)[0]
    assert (low, high) == pytest.approx((0.575, 0.635))
    assert axes.get_xscale() == "log"


def test_runs_after_an_intermediate_task_are_left_to_their_own_figure(made):
    table = made["finetune_vs_extract"]
    other = table.assign(intermediate="reviews", finetune_mean=0.1)
    figure = finetune_vs_extract.draw({**made, "finetune_vs_extract": pd.concat([table, other])}, LABELS)
    assert len(titles(figure)) == 3
    assert min(min(line) for axes in figure.axes for line in means(axes)) > 0.5


def test_one_seed_is_a_hollow_point_without_bar(made):
    table = made["finetune_vs_extract"].copy()
    table.loc[:, [c for c in table if c.endswith(("_sd", "_low", "_high"))]] = float("nan")
    table.loc[:, [c for c in table if c.endswith("_n")]] = 1
    figure = finetune_vs_extract.draw({**made, "finetune_vs_extract": table}, LABELS)
    assert figure.get_supxlabel() == "One seed: no interval."
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white" and len(line.get_xdata())]
    assert sum(len(line.get_xdata()) for line in hollow) == 9


def test_layers_kept_names_each_size_at_its_line(made):
    figure = layers_kept.draw(of_surgery(made, "resets"), LABELS)
    assert texts(figure) == {"100", "500", "2,000"}
    axes = figure.axes[0]
    assert means(axes)[2] == pytest.approx([0.5 + d * 0.01 * 3.30103 for d in range(7)], abs=1e-5)
    ticks = [tick for tick in axes.get_xticks() if -0.5 <= tick <= 6.5]
    assert ticks == list(range(7))


def test_layers_kept_tells_surgeries_apart(made):
    made = {name: made[name][made[name]["task"] != "similarity"] for name in ("layers_kept", "layer_probes")}
    figure = layers_kept.draw(made, LABELS)
    # A row of panels for each surgery.
    assert titles(figure) == [
        f"{task}\n{surgery}" for surgery in ("resets", "keeps") for task in ("Film reviews", "news")
    ]


def test_intermediate_has_a_zero_line_and_a_row_a_comparison(made):
    figure = intermediate.draw(made, LABELS)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "difference in test accuracy: with minus without",
        "difference in test Pearson's r: with minus without",
    ]
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert rows[0] == "IMDb \u2192 Film reviews\n100 examples, n = 3"
    assert len(rows) == 6
    assert any(list(line.get_xdata()) == [0, 0] for line in figure.axes[0].lines)
    spans = [list(line.get_xdata()) for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert [pytest.approx(-0.005), pytest.approx(0.045)] in spans


def test_costs_join_seconds_and_scores(made):
    figure = costs.draw(made, LABELS)
    lines = {
        tuple(line.get_xdata()): list(line.get_ydata()) for line in figure.axes[0].lines if len(line.get_xdata()) > 2
    }
    assert lines[2.0, 10.0, 40.0] == pytest.approx([0.63, 0.66495, 0.69505], abs=1e-4)
    assert texts(figure) == {"100", "500", "2,000"}


def test_costs_leave_out_probes_of_single_layers(made):
    probes = made["scores"].assign(depth=3, mean=0.1)
    assert costs.priced(made["costs"], pd.concat([probes, made["scores"]]))["mean"].min() > 0.5


def test_peters2019_shows_ours_with_intervals_and_theirs_hollow(made):
    figure = peters2019.draw(made, {"tiny": "MiniLM"})
    # ELMo was not run: no panel.
    assert titles(figure) == ["BERT-base"]
    assert legend(figure) == ["MiniLM†", "own", "published"]
    axes = figure.axes[0]
    ours, own, theirs = [list(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None"]
    assert ours == [0.5 + i for i in (0, 1, 3, 4, 5, 6)]
    assert own == [-2.0 + i for i in (0, 1, 3, 4, 5, 6)]
    assert theirs == pytest.approx([0.7 * i - 1 for i in range(7)])
    (hollow,) = [line for line in axes.lines if line.get_marker() == "D"]
    assert hollow.get_markerfacecolor() == "none"
    spans = [tuple(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    assert (-0.5, 1.5) in spans and (-3.0, -1.0) in spans
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["CoNLL-2003 NER", "SST-2†"]


def test_peters2019_crosses_out_what_learnt_nothing_and_calls_a_system_by_the_papers_name(made):
    table = made["peters2019"].copy()
    table.loc[table["system"] == "own", "system"] = "own, other"
    table["learnt"] = [task != "MRPC" if task != "SST-2" else None for task in table["paper_task"]]
    figure = peters2019.draw({**made, "peters2019": table}, {"tiny": "MiniLM"})
    assert legend(figure) == ["BERT-base", "MiniLM†", peters2019.UNLEARNT, "published"]
    crossed = [list(line.get_xdata()) for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert crossed == [[5.5], [3.0]]


def test_layer_curves_have_a_panel_for_each_task_and_measure(made):
    figure = layer_curves.draw(made, LABELS)
    assert titles(figure) == ["Film reviews", "similarity"] * 2
    assert [axes.get_ylabel() for axes in figure.axes] == [
        *["mutual information, bits"] * 2,
        "probe: accuracy",
        "probe: Pearson's r",
    ]
    assert legend(figure) == [
        "after fine-tuning",
        "before fine-tuning",
        "control: random labels",
        "control: random states",
    ]
    assert means(figure.axes[2])[0] == pytest.approx([0.61 + 0.02 * layer for layer in range(7)])
    # Three seeds, 0.005 apart: half of the t interval is 0.0124.
    low, high = bars(figure.axes[2])[0]
    assert (low, high) == pytest.approx((0.61 - 0.01242, 0.61 + 0.01242), abs=1e-4)
    assert "n = 3 seeds" in figure.get_supxlabel()


ALL = [
    *(finetune_vs_extract.draw, layers_kept.draw, intermediate.draw),
    *(costs.draw, peters2019.draw, layer_curves.draw),
    *(layer_gains.draw, localised.draw, permutations.draw, seed_scatter.draw, surgery_variants.draw),
    *(transfer_matrix.draw, transfer_gain.draw, transfer_prediction.draw),
]


@pytest.mark.parametrize("draw", ALL)
def test_what_was_not_run_says_so(made, draw):
    assert "not run" in texts(draw({name: table.iloc[:0] for name, table in made.items()}, {}))


@pytest.mark.parametrize("draw", [draw for draw in ALL if draw is not intermediate.draw])
def test_no_text_lies_on_another(made, draw):
    """Titles, axis names, tick labels and the legend keep clear of each other."""
    figure = draw(made, LABELS)
    figure.draw_without_rendering()
    boxes = {"legend": figure.legends[0].get_window_extent()} if figure.legends else {}
    boxes["note"] = figure._supxlabel.get_window_extent()
    for i, axes in enumerate(figure.axes):
        named = [axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title]
        low, high = axes.get_xlim()
        ticks = [t for t in axes.get_xticklabels() if low <= t.get_position()[0] <= high]
        boxes |= {(i, t.get_text()): t.get_window_extent() for t in (*named, *ticks) if t.get_text()}
    together = [(a, b) for a, b in itertools.combinations(boxes, 2) if boxes[a].overlaps(boxes[b])]
    assert together == []

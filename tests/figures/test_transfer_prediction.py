"""The figure of scores against gains."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from transfer_atlas.analysis import tables
from transfer_atlas.analysis.transfer_prediction import PREDICTION, predict
from transfer_atlas.figures import style
from transfer_atlas.figures.transfer_prediction import TITLE, correlation, draw
from transfer_atlas.probing.transferability.measures import COLUMNS

TARGETS = {f"t{i}": ("sentiment", "similarity")[i % 2] for i in range(12)}
MODELS = ("tiny", "small")


def made(models: tuple[str, ...] = MODELS, sizes: tuple[int, ...] = (100, 500)) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(1)
    score = {(model, task): rng.normal() for model in models for task in TARGETS}
    scored = [
        (model, "reviews", task, seed, measure, score[model, task] + 0.01 * (seed or 0), gain, 200)
        for model in models
        for task in TARGETS
        for measure, seeds in {"log_me": (None, 1, 2), "leep": (1, 2), "proxy_a_distance": (None,)}.items()
        for seed in seeds
        for gain in [None if seed is None or measure == "leep" else score[model, task] / 2]
    ]
    gains = [
        {
            **{"model": model, "intermediate": "reviews", "task": task, "family": family, "recipe": "finetune"},
            **{"method": "finetune", "head": "drop", "size": str(size), "n_train": size},
            "difference": 0.02 * score[model, task] * 100 / size,
        }
        for model in models
        for task, family in TARGETS.items()
        for size in sizes
    ]
    given = {
        "transferability": pd.DataFrame(scored, columns=list(COLUMNS)).astype(COLUMNS),
        "intermediate": pd.DataFrame(gains),
    }
    return {**given, "transfer_prediction": predict(given["transferability"], given["intermediate"])}


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def test_a_panel_for_each_measure_says_what_it_predicts() -> None:
    figure = draw(made(), {"tiny": "Tiny"})
    found = titles(figure)
    assert [title.splitlines()[0] for title in found] == ["LogME: change", "LEEP", "LogME", "proxy A-distance"]
    assert found[0].splitlines()[1:] == ["● ρ = 1.00, n = 12", "■ ρ = 1.00, n = 12"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Tiny", "sentiment", "similarity", "small"]


def test_points_are_those_of_the_smallest_of_equally_many() -> None:
    drawn = made()
    (panel, *_) = draw(drawn, {}).axes
    gains = drawn["intermediate"]
    shown = sorted(y for line in panel.lines for y in line.get_ydata() if len(line.get_ydata()) == 1)
    assert shown == pytest.approx(sorted(100 * gains[gains["n_train"] == 100]["difference"]))


def test_families_have_a_colour_and_models_a_marker() -> None:
    (panel, *_) = draw(made(), {}).axes
    single = [line for line in panel.lines if len(line.get_ydata()) == 1]
    assert len({line.get_color() for line in single}) == 2 == len({line.get_marker() for line in single})
    assert len(single) == len(TARGETS) * len(MODELS)


def test_one_model_is_not_named() -> None:
    figure = draw(made(models=("tiny",)), {})
    assert titles(figure)[1] == "LEEP\nρ = 1.00, n = 12"


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.5, -0.1, 0.8), "ρ = 0.50 [−0.10, 0.80]"),
        ((-1.0, np.nan, np.nan), "ρ = −1.00"),
        ((np.nan, np.nan, np.nan), "ρ undefined"),
    ],
)
def test_correlations_are_told_as_far_as_they_are_known(numbers: tuple[float, float, float], text: str) -> None:
    assert correlation(*numbers) == text


def test_nothing_scored_is_not_run() -> None:
    full = made()
    empty = {
        **full,
        "transferability": full["transferability"].iloc[:0],
        "transfer_prediction": pd.DataFrame(columns=PREDICTION),
    }
    figure = draw(empty, {})
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["not run"] and TITLE in str(figure._suptitle.get_text())


def test_the_same_bytes_again(tmp_path) -> None:
    for name in ("a.svg", "b.svg"):
        style.save(draw(made(), {}), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_tables_read_from_their_files_draw_the_same(tmp_path) -> None:
    written = made()
    for name, table in written.items():
        tables.write(table, tmp_path / f"{name}.csv")
    read = {name: tables.read(tmp_path / f"{name}.csv") for name in written}
    assert titles(draw(read, {})) == titles(draw(written, {}))

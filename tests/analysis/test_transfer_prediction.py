"""Scores against gains, on pairs whose order is known."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.transfer_prediction import PREDICTION, collect, pair_scores, points, predict
from transfer_atlas.probing.transferability.measures import COLUMNS

TARGETS = ["a", "b", "c", "d", "e"]


def scores(**by_measure: dict[int | None, list[float | None]]) -> pd.DataFrame:
    """A row for each seed and target of a measure; `gain_of_score` is a tenth of the value of trained states."""
    rows = [
        ("tiny", "reviews", task, seed, measure, value, None if seed is None or value is None else value / 10, 100)
        for measure, by_seed in by_measure.items()
        for seed, values in by_seed.items()
        for task, value in zip(TARGETS, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def gains(values: list[float], *, size: str = "100", method: str = "finetune", **others: str) -> pd.DataFrame:
    place = {"model": "tiny", "intermediate": "reviews", "recipe": method, "head": "drop", "size": size, **others}
    rows = [
        {**place, "method": method, "task": task, "family": "texts", "n_train": 100, "difference": value}
        for task, value in zip(TARGETS, values, strict=True)
    ]
    return pd.DataFrame(rows)


def test_collect_keeps_names_and_orders_rows(tmp_path: Path) -> None:
    header = ",".join(COLUMNS)
    (tmp_path / "b.csv").write_text(f"{header}\nNA,x,007,2,leep,-0.5,,60\nNA,x,007,1,leep,-0.4,0.1,60\n")
    (tmp_path / "a.csv").write_text(f"{header}\nm,x,t,,log_me,,,60\nm,x,t,1,log_me,0.1,,60\n")
    table = collect([tmp_path / "b.csv", tmp_path / "a.csv"])
    assert table["model"].tolist() == ["NA", "NA", "m", "m"] and table["task"].tolist() == ["007", "007", "t", "t"]
    assert table["seed"].tolist()[:2] == [1, 2] and table["seed"].isna().tolist() == [False, False, True, False]
    assert table["value"].tolist()[:2] == [-0.4, -0.5] and math.isnan(table["value"][2])
    assert table.dtypes.astype(str).to_dict() == COLUMNS
    assert collect([]).empty and collect([]).dtypes.equals(table.dtypes)


def test_the_score_of_a_pair_is_the_mean_over_its_seeds() -> None:
    table = scores(
        log_me={None: [9.0] * 5, 1: [1.0, 2.0, 3.0, 4.0, 5.0], 2: [3.0, 4.0, 5.0, 6.0, None]},
        term_divergence={None: [0.1, 0.2, 0.3, 0.4, 0.5]},
    )
    found = {measure: rows["score"].tolist() for measure, rows in pair_scores(table).groupby("measure")}
    assert found["log_me"] == pytest.approx([2, 3, 4, 5, math.nan], nan_ok=True)
    assert found["log_me_gain"] == pytest.approx([0.2, 0.3, 0.4, 0.5, math.nan], nan_ok=True)
    assert found["term_divergence"] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert set(found) == {"log_me", "log_me_gain", "term_divergence"}


def test_correlation_is_spearmans_with_the_interval_of_the_analysis() -> None:
    score, gain = [1.0, 2.0, 3.0, 4.0, 5.0], [0.01, 0.03, 0.02, 0.04, 0.05]
    (row,) = predict(scores(leep={1: score}), gains(gain)).to_dict("records")
    rho = float(stats.spearmanr(score, gain).statistic)
    assert list(row) == PREDICTION
    assert (row["measure"], row["model"], row["size"], row["pairs"]) == ("leep", "tiny", "100", 5)
    assert row["spearman"] == pytest.approx(rho) and (row["low"], row["high"]) == pytest.approx(
        intervals.rank_correlation_interval(rho, 5)
    )
    # 0.9 is reached by 4 of the 120 orders, 1 by one, and as many on the other side.
    assert row["p"] == row["p_holm"] == pytest.approx(10 / 120)


def test_distances_and_scores_point_opposite_ways() -> None:
    up = [0.01, 0.02, 0.03, 0.04, 0.05]
    table = scores(leep={1: [1.0, 2.0, 3.0, 4.0, 5.0]}, term_divergence={None: [0.9, 0.7, 0.5, 0.3, 0.1]})
    found = predict(table, gains(up)).set_index("measure")
    assert found["spearman"].to_dict() == pytest.approx({"leep": 1, "term_divergence": -1})
    assert found["p"].tolist() == pytest.approx([2 / 120] * 2) and found["p_holm"].tolist() == pytest.approx(
        [4 / 120] * 2
    )


def test_sizes_recipes_and_kinds_of_head_are_questions_of_their_own() -> None:
    up, down = [0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.04, 0.03, 0.02, 0.01]
    measured = pd.concat(
        [gains(up), gains(down, size="all"), gains(down, head="keep"), gains(down, recipe="slow"), gains(up, model="b")]
    )
    found = predict(scores(leep={1: [1.0, 2.0, 3.0, 4.0, 5.0]}), measured)
    told = {
        (row["recipe"], row["head"], row["size"]): round(row["spearman"], 6) for row in found.to_dict(orient="records")
    }
    assert told == {
        ("finetune", "drop", "100"): 1,
        ("finetune", "drop", "all"): -1,
        ("finetune", "keep", "100"): -1,
        ("slow", "drop", "100"): -1,
    }


def test_two_names_of_one_size_are_one_test() -> None:
    up = [0.01, 0.02, 0.03, 0.04, 0.05]
    found = predict(scores(leep={1: [1.0, 2.0, 3.0, 4.0, 5.0]}), pd.concat([gains(up), gains(up, size="all")]))
    assert found["size"].tolist() == ["100", "all"] and found["p_holm"].tolist() == pytest.approx([2 / 120] * 2)


def test_only_fine_tuning_and_only_pairs_with_both() -> None:
    table = scores(leep={1: [1.0, None, 3.0, 4.0, 5.0]})
    assert predict(table, gains([0.1] * 5, method="extract")).empty
    measured = gains([0.01, 0.02, 0.03, math.nan, 0.05])
    assert points(table, measured)["task"].tolist() == ["a", "c", "e"]
    (row,) = predict(table, measured).to_dict("records")
    assert row["pairs"] == 3 and row["spearman"] == pytest.approx(1) and math.isnan(row["low"])


def test_nothing_run_is_an_empty_table() -> None:
    found = predict(collect([]), gains([0.1] * 5))
    assert found.empty and list(found) == PREDICTION
    assert predict(scores(leep={1: [1.0] * 5}), gains([0.1] * 5).iloc[:0]).empty

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from transfer_atlas.analysis import tables
from transfer_atlas.analysis.transfer import arms, effects

AFTER, ALONE, LONGER = {1: 0.80, 2: 0.84, 3: 0.82}, {1: 0.78, 2: 0.79, 3: 0.80}, {1: 0.81, 2: 0.82, 3: 0.82}


@pytest.fixture
def main(make_runs, tasks):
    """`main(rows, rows, ...)`: the main scores of these runs together."""
    return lambda *rows: tables.main_scores(pd.concat(rows, ignore_index=True), tasks)


def test_every_row_is_in_one_arm(make_runs):
    names = ["none", "none~films", "films", "none-of-these"]
    runs = pd.concat([make_runs({1: 0.8}, intermediate=name) for name in names])
    told = {
        name: runs.loc[mask(runs), "intermediate"].drop_duplicates().tolist()
        for name, mask in (("direct", arms.direct), ("control", arms.control), ("transferred", arms.transferred))
    }
    assert told == {"direct": ["none"], "control": ["none~films"], "transferred": ["films", "none-of-these"]}


def test_with_against_without_and_against_the_control(main, make_runs, pairs):
    runs = main(
        make_runs(AFTER, intermediate="films"),
        make_runs(ALONE),
        make_runs(LONGER, intermediate="none~films", steps=106),
        make_runs(dict.fromkeys(AFTER, 0.1), intermediate="none~goods"),
        make_runs(AFTER, intermediate="films", recipe="extract"),  # nothing to compare with
    )
    (row,) = effects.intermediate(runs, pairs).to_dict("records")
    assert [row[name] for name in ("intermediate", "recipe", "method", "head")] == [
        *("films", "finetune", "finetune", "drop")
    ]
    assert (row["family"], row["setting"]) == ("sentiment analysis", "same")
    assert (row["with_mean"], row["without_mean"], row["difference"]) == pytest.approx((0.82, 0.79, 0.03))
    beyond = [-0.01, 0.02, 0.0]
    assert (row["budget_mean"], row["beyond_budget"]) == pytest.approx(
        (np.mean(list(LONGER.values())), np.mean(beyond))
    )
    assert row["beyond_budget_n"] == 3
    assert row["beyond_budget_p"] == pytest.approx(stats.ttest_1samp(beyond, 0).pvalue)
    assert row["beyond_budget_p_holm"] == row["beyond_budget_p"] and row["p_holm"] == row["p"]
    assert (row["steps"], row["steps_before"], row["budget_steps"]) == (30, 76, 106)


def test_without_a_control_nothing_is_known_of_it(main, make_runs, pairs):
    table = effects.intermediate(main(make_runs(AFTER, intermediate="films"), make_runs(ALONE)), pairs)
    (row,) = table.to_dict("records")
    unknown = [name for name in table if name.startswith(("budget_", "beyond_budget"))]
    assert len(unknown) == 5 + 7 + 1 and table[unknown].isna().all(axis=None)
    assert row["difference"] == pytest.approx(0.03)


def test_several_intermediate_seeds_are_averaged_by_target_seed(main, make_runs, pairs):
    """Three target seeds are three observations, however many intermediate trainings each was run after."""
    crossed = [
        make_runs({seed: score + shift for seed, score in AFTER.items()}, intermediate="films", start=start)
        for start, shift in ((5, -0.02), (6, 0.02), (7, 0.03))
    ]
    (row,) = effects.intermediate(main(*crossed, make_runs(ALONE)), pairs).to_dict("records")
    assert (row["with_n"], row["without_n"], row["difference_n"]) == (3, 3, 3)
    assert row["difference"] == pytest.approx(0.03 + 0.01)
    assert row["difference_sd"] == pytest.approx(np.std([0.02, 0.05, 0.02], ddof=1))


def test_the_two_comparisons_are_families_of_their_own(main, make_runs, pairs):
    """Holm's p of the difference counts differences, that of the control the controls."""
    runs = main(
        *(make_runs(AFTER, intermediate=name) for name in ("films", "goods")),
        make_runs(ALONE),
        make_runs(LONGER, intermediate="none~films"),
    )
    table = effects.intermediate(runs, pairs)
    assert table["p_holm"].tolist() == pytest.approx([2 * p for p in table["p"]])
    controlled = table.dropna(subset="beyond_budget")
    assert controlled["beyond_budget_p_holm"].tolist() == controlled["beyond_budget_p"].tolist()
    assert controlled["intermediate"].tolist() == ["films"]


def test_gains_by_seed(main, make_runs, pairs):
    runs = main(make_runs({**AFTER, 9: 0.9}, intermediate="goods"), make_runs(ALONE))
    table = effects.gains(runs, pairs)
    assert dict(zip(table["seed"], table["gain"], strict=True)) == pytest.approx({1: 0.02, 2: 0.05, 3: 0.02})
    assert set(table["setting"]) == {"domain"}


def test_zero_shot_is_repeated_by_intermediate_trainings_not_by_target_seeds(main, make_runs, pairs, tasks):
    """Whatever the target's seed, the same model is scored: five seeds after two trainings are two observations."""
    shots = pd.concat(
        [
            make_runs(dict.fromkeys(range(1, 6), score), intermediate="films", start=start, n_train=0)
            for start, score in ((5, 0.7), (6, 0.8))
        ]
    )
    (row,) = effects.zero_shot(main(shots), pairs, {}).to_dict("records")
    assert (row["n"], row["mean"]) == (2, pytest.approx(0.75)) and row["sd"] == pytest.approx(0.1 / math.sqrt(2))
    assert set(tables.scores(shots, tasks)["n"]) == {2}


def test_zero_shot_is_told_with_a_constant_answer(main, make_runs, pairs):
    runs = main(
        make_runs(AFTER, intermediate="films", n_train=0, steps=0),
        make_runs(AFTER, intermediate="films"),
        make_runs(ALONE),
        make_runs({1: 0.3, 2: 0.4}, intermediate="films", task="similarity", n_train=0, steps=0),
    )
    table = effects.zero_shot(runs, pairs, {"sentiment": {"test": {"bad": 30, "good": 70}}})
    told = table[["task", "family", "setting", "metric", "n", "constant"]].to_numpy().tolist()
    assert told == [
        ["sentiment", "sentiment analysis", "same", "accuracy", 3, 0.7],
        ["similarity", "pair regression", "cross-lingual", "pearson", 2, 0.0],
    ]
    assert table["mean"].tolist() == pytest.approx([0.82, 0.35])
    assert math.isnan(effects.zero_shot(runs, pairs, {})["constant"].iloc[0])
    # It has no side without an intermediate task.
    assert set(effects.intermediate(runs, pairs)["n_train"]) == {1000}

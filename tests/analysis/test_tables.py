import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from transfer_atlas import settings
from transfer_atlas.analysis import tables
from transfer_atlas.analysis.runs import COLUMNS, collect
from transfer_atlas.analysis.transfer import effects, signs, variance
from transfer_atlas.errors import UserError

LEFT, RIGHT = {1: 0.80, 2: 0.84, 3: 0.82}, {1: 0.78, 2: 0.79, 3: 0.80}


def half_width(values: list[float]) -> float:
    return float(stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))


@pytest.fixture
def main(make_runs, tasks):
    """`main(rows, rows, ...)`: the main scores of these runs together."""
    return lambda *rows: tables.main_scores(pd.concat(rows, ignore_index=True), tasks)


def test_finetune_against_extract(main, make_runs):
    table = tables.finetune_vs_extract(main(make_runs(LEFT), make_runs(RIGHT, recipe="extract")))
    assert len(table) == 1
    row = table.iloc[0]
    assert (row["finetune"], row["extract"], row["metric"]) == ("finetune", "extract", "accuracy")
    assert (row["finetune_mean"], row["extract_mean"]) == pytest.approx((0.82, 0.79))
    assert row["finetune_high"] - row["finetune_mean"] == pytest.approx(half_width(list(LEFT.values())))
    differences = [0.02, 0.05, 0.02]
    assert row["difference"] == pytest.approx(0.03)
    assert row["difference_sd"] == pytest.approx(np.std(differences, ddof=1))
    assert row["difference_low"] == pytest.approx(0.03 - half_width(differences))
    assert row["p"] == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    assert row["p_holm"] == row["p"]


def test_every_pair_of_recipes_and_holm_over_the_table(main, make_runs):
    table = tables.finetune_vs_extract(
        main(
            make_runs(LEFT),
            make_runs({1: 0.7, 2: 0.75, 3: 0.74}, recipe="finetune_slow"),
            make_runs(RIGHT, recipe="extract"),
            make_runs({1: 0.6, 2: 0.7, 3: 0.66}, recipe="extract_mix"),
        )
    )
    pairs = list(zip(table["finetune"], table["extract"], strict=True))
    assert pairs == [(f, e) for f in ("finetune", "finetune_slow") for e in ("extract", "extract_mix")]
    assert table["p_holm"].min() == pytest.approx(4 * table["p"].min())


def test_sizes_are_ordered_by_their_examples(main, make_runs):
    rows = [
        make_runs(LEFT, recipe=recipe, size=size, n_train=n)
        for size, n in (("500", 500), ("2000", 2000), ("all", 900))
        for recipe in ("finetune", "extract")
    ]
    assert tables.finetune_vs_extract(main(*rows))["size"].tolist() == ["500", "all", "2000"]


def test_surgery_and_intermediate_are_not_mixed_in(main, make_runs):
    table = tables.finetune_vs_extract(
        main(
            make_runs(LEFT),
            make_runs(dict.fromkeys(LEFT, 0.1), surgery="progressive", depth=0),
            make_runs(dict.fromkeys(LEFT, 0.2), intermediate="films"),
            make_runs(RIGHT, recipe="extract"),
        )
    )
    assert table["finetune_mean"].tolist() == pytest.approx([0.82])


def test_probes_of_single_layers_are_not_mixed_in(main, make_runs, pairs):
    rows = [
        *(make_runs(LEFT, intermediate=name) for name in ("none", "films")),
        *(make_runs(RIGHT, recipe=recipe, intermediate="films") for recipe in ("extract", "extract_each")),
        *(make_runs({1: 0.1, 2: 0.1}, recipe="extract_each", depth=layer) for layer in (0, 1)),
    ]
    without, layers = main(*rows[:4]), main(*rows)
    pd.testing.assert_frame_equal(tables.finetune_vs_extract(layers), tables.finetune_vs_extract(without))
    pd.testing.assert_frame_equal(effects.intermediate(layers, pairs), effects.intermediate(without, pairs))
    assert set(tables.finetune_vs_extract(layers)["intermediate"]) == {"films"}


def test_unpaired_seeds_are_told(main, make_runs):
    table = tables.finetune_vs_extract(main(make_runs(LEFT), make_runs({2: 0.8, 9: 0.1}, recipe="extract")))
    row = table.iloc[0]
    assert (row["finetune_n"], row["extract_n"], row["difference_n"]) == (3, 2, 1)
    assert row["difference"] == pytest.approx(0.04)
    assert math.isnan(row["difference_low"]) and math.isnan(row["p_holm"])


def test_one_seed_gives_a_mean_and_empty_cells(main, make_runs, tmp_path):
    table = tables.finetune_vs_extract(main(make_runs({1: 0.5}), make_runs({1: 0.25}, recipe="extract")))
    tables.write(table, tmp_path / "t.csv")
    header, line = (text.split(",") for text in (tmp_path / "t.csv").read_text().splitlines())
    cells = dict(zip(header, line, strict=True))
    assert (cells["finetune_mean"], cells["finetune_sd"], cells["finetune_n"]) == ("0.5", "", "1")
    assert (cells["difference"], cells["difference_low"], cells["p"], cells["p_holm"]) == ("0.25", "", "", "")


def test_a_run_in_two_cells_is_counted_once(make_runs, write_cell, tasks):
    """All layers kept is the same run as no surgery: two rows in the long table, one run in every mean."""
    plain = write_cell(make_runs({1: 0.8, 2: 0.9}, digest="same", seconds=10.0), "plain")
    full = make_runs({1: 0.8, 2: 0.9}, digest="same", surgery="progressive", depth=6, seconds=10.0)
    scratch = make_runs({1: 0.5, 2: 0.5}, surgery="progressive", depth=0, seconds=1.0)
    curve = write_cell(pd.concat([full, scratch]), "curve")
    cell = "tiny/none/sentiment/finetune/{}/n1000"
    declared = {plain: {cell.format("none"): [(None, 1, None), (None, 2, None)]}}
    declared[curve] = {cell.format("progressive"): [(d, s, None) for d in (0, 6) for s in (1, 2)]}
    runs = collect(declared)
    assert len(runs) == 6 * 4
    costs = tables.costs(runs)
    assert costs["runs"].tolist() == [4]
    assert costs["seconds"].tolist() == [5.5]
    assert costs["seconds_total"].tolist() == [22.0]
    scores = tables.scores(runs, tasks)
    main = scores[(scores["split"] == "test") & scores["main"]]
    assert main["n"].tolist() == [2, 2, 2]


def test_one_comparison_under_two_sizes_is_one_test(main, make_runs):
    """Size 1000 and all of 1000 examples are the same runs, so Holm's family has one test, not two."""
    rows = [
        make_runs(s, recipe=r, size=z) for s, r in ((LEFT, "finetune"), (RIGHT, "extract")) for z in ("1000", "all")
    ]
    table = tables.finetune_vs_extract(main(*rows))
    assert table["size"].tolist() == ["1000", "all"]
    assert table["p_holm"].tolist() == table["p"].tolist()


def test_mixed_up_seeds_are_never_averaged(make_runs, tasks):
    twice = pd.concat([make_runs({1: 0.8}), make_runs({1: 0.2})])
    with pytest.raises(ValueError, match="more than one score for a seed"):
        tables.scores(twice, tasks)


def test_scores_of_all_splits_and_metrics(make_runs, tasks):
    table = tables.scores(make_runs({1: 0.8, 2: 0.9}, task="similarity"), tasks)
    found = {(row["split"], row["metric"]): (row["main"], row["mean"]) for row in table.to_dict("records")}
    assert {key: value[0] for key, value in found.items() if value[0]} == {
        ("test", "pearson"): True,
        ("validation", "pearson"): True,
    }
    assert found["test", "spearman"][1] == pytest.approx(0.55)
    assert found["validation", "spearman"][1] == pytest.approx(0.25)


def test_an_undefined_score_leaves_no_mean(main, make_runs):
    table = tables.finetune_vs_extract(main(make_runs({**LEFT, 2: math.nan}), make_runs(RIGHT, recipe="extract")))
    row = table.iloc[0]
    assert row["finetune_n"] == 3 and math.isnan(row["finetune_mean"]) and math.isnan(row["difference"])
    assert row["extract_mean"] == pytest.approx(0.79)


def test_controls_and_zero_shot_runs_are_no_choice_of_how_to_train(main, make_runs):
    chosen = [make_runs(LEFT), make_runs(RIGHT, recipe="extract")]
    others = [
        make_runs(dict.fromkeys(LEFT, 0.1), intermediate="none~films", seconds=99.0),
        make_runs(dict.fromkeys(LEFT, 0.1), intermediate="none~films", recipe="extract"),
        make_runs(dict.fromkeys(LEFT, 0.1), intermediate="films", n_train=0, seconds=0.0),
    ]
    runs = pd.concat([*chosen, *others])
    assert tables.finetune_vs_extract(main(runs)).equals(tables.finetune_vs_extract(main(*chosen)))
    assert tables.costs(runs).equals(tables.costs(pd.concat(chosen)))
    assert len(tables.plain(runs)) == len(pd.concat(chosen))


def test_a_cost_not_measured_for_all_has_no_mean(make_runs):
    rows = pd.concat([make_runs({1: 0.8}), make_runs({2: 0.8}, peak_memory_mb=None)])
    assert tables.costs(rows)["peak_memory_mb"].isna().all()
    assert tables.costs(rows)["seconds"].tolist() == [2.0]


def test_costs_of_devices_are_apart(make_runs):
    rows = pd.concat([make_runs({1: 0.8}), make_runs({2: 0.8}, device="cuda", seconds=0.1)])
    assert tables.costs(rows)[["device", "seconds"]].to_numpy().tolist() == [["cpu", 2.0], ["cuda", 0.1]]


def test_main_metric_follows_the_task(make_runs, tasks):
    chosen = {**tasks, "sentiment": settings.Task(**{**tasks["sentiment"].model_dump(), "metric": "macro_f1"})}
    assert tables.main_scores(make_runs({1: 0.8}), chosen)["value"].tolist() == pytest.approx([0.5])
    chosen["sentiment"] = settings.Task(**{**tasks["sentiment"].model_dump(), "metric": "matthews"})
    with pytest.raises(UserError, match=r"tasks\.sentiment\.metric: .* matthews; name one of accuracy, macro_f1"):
        tables.main_scores(make_runs({1: 0.8}), chosen)


def test_empty_tables_have_a_header(tasks, pairs, tmp_path):
    runs = collect({})
    main = tables.main_scores(runs, tasks)
    made = {
        "scores": tables.scores(runs, tasks),
        "finetune_vs_extract": tables.finetune_vs_extract(main),
        "intermediate": effects.intermediate(main, pairs),
        "zero_shot": effects.zero_shot(main, pairs, {}),
        "transfer_signs": signs.signs(effects.intermediate(main, pairs)),
        "transfer_variance": variance.variance(main, pairs),
        "costs": tables.costs(runs),
    }
    for name, table in made.items():
        tables.write(table, tmp_path / name)
        assert (tmp_path / name).read_text() == ",".join(tables.COLUMNS[name]) + "\n"
        assert tables.read(tmp_path / name).empty


def test_runs_keep_every_bit(make_runs, tmp_path):
    runs = make_runs({1: 0.1 + 0.2, 2: 2 / 3}, surgery="progressive", depth=3)
    tables.write_runs(runs, tmp_path / "runs.csv")
    assert b"\r" not in (tmp_path / "runs.csv").read_bytes()
    back = pd.read_csv(tmp_path / "runs.csv")
    assert back["value"].tolist() == runs["value"].tolist()
    assert list(back.columns) == list(COLUMNS)
    assert pd.read_csv(tmp_path / "runs.csv", dtype="str")["depth"].tolist() == ["3"] * len(runs)


def test_names_that_look_like_something_else_stay_names(main, make_runs, tmp_path):
    table = tables.finetune_vs_extract(
        main(make_runs(LEFT, model="NA", size="007"), make_runs(RIGHT, recipe="extract", model="NA", size="007"))
    )
    tables.write(table, tmp_path / "t.csv")
    row = tables.read(tmp_path / "t.csv").iloc[0]
    assert (row["model"], row["size"], row["intermediate"]) == ("NA", "007", "none")


def test_rows_without_intermediate_come_first_or_alone(make_runs):
    rows = pd.concat(
        [
            make_runs({1: 0.8}),
            make_runs({1: 0.8}, intermediate="films"),
            make_runs({1: 0.8}, task="similarity", intermediate="films"),
        ]
    )
    kept = tables.plain(rows)[["task", "intermediate"]].drop_duplicates()
    assert kept.to_numpy().tolist() == [["sentiment", "none"], ["similarity", "films"]]
    assert tables.plain(rows.iloc[:0]).empty

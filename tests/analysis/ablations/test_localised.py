import math

import pytest

from transfer_atlas.analysis.ablations.localised import localised

FULL = {1: 0.90, 2: 0.92}
BLOCK = {1: 0.85, 2: 0.83}


def test_loss_is_the_block_minus_the_full_encoder(main, make_runs, surgeries, layers, interval):
    runs = main(make_runs(FULL), make_runs(BLOCK, surgery="blocks", depth=2))
    (row,) = localised(runs, surgeries, layers).to_dict("records")
    assert (row["kind"], row["lowest"], row["highest"]) == ("block", 2, 3)
    assert row["mean"] == pytest.approx(0.84)
    assert row["loss"] == pytest.approx(-0.07)
    assert (row["loss_low"], row["loss_high"]) == pytest.approx(interval([-0.05, -0.09]))
    assert (row["full_mean"], row["full_n"]) == (pytest.approx(0.91), 2)
    assert (row["full_low"], row["full_high"]) == pytest.approx(interval([0.90, 0.92]))
    assert row["p_holm"] == row["p"] < 1


def test_layers_of_each_kind(main, make_runs, surgeries, layers):
    rows = [make_runs(BLOCK, surgery=name, depth=d) for name in ("blocks", "alone") for d in (1, 2)]
    rows += [make_runs(BLOCK, surgery="singles", depth=d) for d in (1, 2, 3)]
    table = localised(main(*rows, make_runs(FULL)), surgeries, layers)
    assert table[["kind", "lowest", "highest"]].to_numpy().tolist() == [
        *(["preserve", 1, 2], ["preserve", 2, 3]),
        *(["block", 1, 2], ["block", 2, 3]),
        *(["single", 1, 1], ["single", 2, 2], ["single", 3, 3]),
    ]


def test_all_layers_kept_is_the_full_encoder(main, make_runs, surgeries, layers):
    """Whichever was run, or both: the same run under two names counts once."""
    kept = make_runs(FULL, surgery="resets", depth=3, digest="full")
    block = make_runs(BLOCK, surgery="blocks", depth=1)
    alone = localised(main(kept, block), surgeries, layers)
    assert (alone["loss"].item(), alone["full_n"].item()) == (pytest.approx(-0.07), 2)
    plain = make_runs({**FULL, 3: 0.70}, digest="full")
    both = localised(main(plain, kept, block), surgeries, layers)
    assert (both["full_n"].item(), both["loss_n"].item()) == (3, 2)
    assert both["full_mean"].item() == pytest.approx(0.84)
    # Another depth of the surgery, or an intermediate task, is something else.
    others = make_runs(FULL, surgery="resets", depth=2), make_runs(FULL, intermediate="films")
    assert localised(main(*others, block), surgeries, layers)["full_n"].isna().all()


def test_none_is_of_the_surgery_with_the_same_new_layers(main, make_runs, surgeries, layers):
    rows = [make_runs(BLOCK, surgery=name, depth=1) for name in ("blocks", "alone", "singles")]
    scratch = {"resets": 0.5, "authors": 0.6, "careful": 0.7}
    rows += [make_runs({1: value, 2: value}, surgery=name, depth=0) for name, value in scratch.items()]
    rows += [make_runs({1: 0.99}, surgery="authors", depth=1)]
    table = localised(main(*rows), surgeries, layers).set_index("surgery")
    assert table["none_mean"].drop("singles").to_dict() == {
        "alone": pytest.approx(0.5),
        "blocks": pytest.approx(0.6),
    }
    assert table.loc["singles", ["none_mean", "none_low", "none_high"]].isna().all()
    assert table["none_n"].isna().tolist() == [False, False, True]


def test_what_was_not_run_is_empty(main, make_runs, surgeries, layers):
    elsewhere = make_runs(FULL, n_train=50), make_runs(FULL, task="similarity"), make_runs(FULL, recipe="finetune_slow")
    (row,) = localised(main(*elsewhere, make_runs(BLOCK, surgery="blocks", depth=1)), surgeries, layers).to_dict(
        "records"
    )
    assert row["mean"] == pytest.approx(0.84)
    for name in ("loss", "loss_sd", "loss_low", "p", "p_holm", "full_mean", "full_low", "none_mean"):
        assert math.isnan(row[name]), name


def test_one_seed_unequal_seeds_and_undefined_scores(main, make_runs, surgeries, layers):
    rows = [make_runs({2: 0.8, 3: 0.1}, surgery="blocks", depth=1)]
    rows += [
        make_runs({1: math.nan, 2: 0.8}, surgery="blocks", depth=2),
        make_runs({9: 0.8}, surgery="singles", depth=1),
    ]
    table = localised(main(make_runs(FULL), *rows), surgeries, layers)
    assert table["n"].tolist() == [2, 2, 1] and table["loss_n"].tolist() == [1, 2, 0]
    assert table["loss"].iloc[0] == pytest.approx(-0.12)
    assert table["loss"].iloc[1:].isna().all() and table["loss_low"].isna().all()
    assert math.isnan(table["mean"].iloc[1])


def test_holm_counts_the_same_runs_once(main, make_runs, surgeries, layers):
    rows = [
        make_runs(scores, surgery=surgery, depth=depth, size=size)
        for size in ("1000", "all")
        for scores, surgery, depth in ((FULL, "none", None), (BLOCK, "blocks", 1), ({1: 0.5, 2: 0.6}, "blocks", 2))
    ]
    table = localised(main(*rows), surgeries, layers)
    assert table["size"].tolist() == ["1000", "1000", "all", "all"]
    assert table["p_holm"].min() == pytest.approx(2 * table["p"].min())


def test_a_block_of_all_layers_preserved_is_no_test(main, make_runs, layers, surgeries):
    surgeries["alone"] = surgeries["alone"].model_copy(update={"width": 3})
    rows = make_runs(FULL, digest="full"), make_runs(FULL, surgery="alone", depth=1, digest="full")
    (row,) = localised(main(*rows), surgeries, layers).to_dict("records")
    assert row["loss"] == 0 and row["loss_n"] == 2 and math.isnan(row["p"])

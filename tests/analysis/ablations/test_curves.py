import math

import pytest

from transfer_atlas.analysis.ablations.curves import layer_gains, layer_probes, layer_scores, layers_kept

SCORES = {1: 0.80, 2: 0.84, 3: 0.82}


@pytest.fixture
def curve(make_runs):
    """`curve({depth: {seed: score}}, ...)`: progressive runs."""

    def made(depths, surgery="resets", **others):
        return [make_runs(scores, surgery=surgery, depth=depth, **others) for depth, scores in depths.items()]

    return made


def test_gain_of_layers_is_over_depth_0(main, make_runs, curve, surgeries, layers, interval):
    rows = curve({0: {1: 0.5, 2: 0.52}, 1: {1: 0.7, 2: 0.7}, 2: {1: 0.8, 2: 0.84}})
    table = layers_kept(main(*rows, make_runs(dict.fromkeys((1, 2), 0.9), n_train=50)), surgeries, layers)
    assert table["depth"].tolist() == [0, 1, 2]
    assert table["mean"].tolist() == pytest.approx([0.51, 0.7, 0.82])
    assert math.isnan(table["gain_over_scratch"].iloc[0])
    assert table["gain_over_scratch"].tolist()[1:] == pytest.approx([0.19, 0.31])
    assert table["gain_high"].iloc[2] == pytest.approx(interval([0.3, 0.32])[1])
    p = sorted(table["p"].tolist()[1:])
    assert sorted(table["p_holm"].tolist()[1:]) == pytest.approx([min(1, 2 * p[0]), max(2 * p[0], p[1])])


def test_without_depth_0_there_is_no_gain(main, curve, surgeries, layers):
    table = layers_kept(main(*curve({2: SCORES, 3: SCORES})), surgeries, layers)
    assert table["mean"].tolist() == pytest.approx([0.82, 0.82])
    assert table["gain_over_scratch"].isna().all() and table["p_holm"].isna().all()
    assert table["gain_n"].isna().all()


def test_sizes_and_surgeries_are_curves_of_their_own(main, curve, surgeries, layers):
    rows = [
        *curve({0: {1: 0.1}, 1: {1: 0.3}}, n_train=100),
        *curve({0: {1: 0.2}, 1: {1: 0.7}}, n_train=2000),
        *curve({0: {1: 0.4}, 1: {1: 0.8}}, "authors", n_train=100),
    ]
    table = layers_kept(main(*rows), surgeries, layers)
    gains = table.dropna(subset="gain_over_scratch")
    assert gains[["surgery", "n_train"]].to_numpy().tolist() == [["authors", 100], ["resets", 100], ["resets", 2000]]
    assert gains["gain_over_scratch"].tolist() == pytest.approx([0.4, 0.2, 0.5])


def test_curves_hold_progressive_surgery_only(main, make_runs, curve, surgeries, layers):
    others = [make_runs(SCORES, surgery=name, depth=1) for name in ("blocks", "alone", "singles", "shuffled")]
    runs = main(
        *curve({0: SCORES, 1: SCORES}), *others, make_runs(SCORES), make_runs(SCORES, recipe="extract", depth=1)
    )
    for made in (layers_kept, layer_gains, layer_scores):
        assert set(made(runs, surgeries, layers)["surgery"]) == {"resets"}


UNTOUCHED = {1: 0.90, 2: 0.91, 3: 0.92}


@pytest.mark.parametrize("named", [False, True])
def test_a_curve_ends_in_the_untouched_encoder(main, make_runs, curve, surgeries, layers, interval, named):
    """Once, whether it was run with all layers kept, without surgery, or with either at some seeds."""
    rows = [*curve({0: SCORES, 2: SCORES}), *curve({2: SCORES}, "authors"), make_runs(UNTOUCHED, digest="full")]
    if named:
        rows += curve({3: {1: 0.90, 2: 0.91}}, digest="full")
    rows += [make_runs(SCORES, n_train=50), make_runs(SCORES, recipe="finetune_slow")]
    runs = main(*rows)
    table = layers_kept(runs, surgeries, layers)
    assert table[["surgery", "depth", "n"]].to_numpy().tolist() == [
        *(["authors", 2, 3], ["authors", 3, 3]),
        *(["resets", 0, 3], ["resets", 2, 3], ["resets", 3, 3]),
    ]
    assert table["gain_over_scratch"].iloc[-1] == pytest.approx(0.91 - 0.82)
    gains = layer_gains(runs, surgeries, layers)
    assert gains[["surgery", "layer"]].to_numpy().tolist() == [["authors", 3], ["resets", 3]]
    assert (gains["gain_low"].iloc[0], gains["gain_high"].iloc[0]) == pytest.approx(interval([0.10, 0.07, 0.10]))
    kept = layer_scores(runs, surgeries, layers)
    assert kept.loc[kept["depth"] == 3, "value"].tolist() == pytest.approx([*UNTOUCHED.values()] * 2)


def test_an_untouched_encoder_alone_is_no_curve(main, make_runs, surgeries, layers):
    runs = main(make_runs(UNTOUCHED), make_runs(SCORES, surgery="blocks", depth=1))
    for made in (layers_kept, layer_gains, layer_scores):
        assert made(runs, surgeries, layers).empty


def test_gain_of_a_layer_is_over_the_layer_below(main, curve, surgeries, layers, interval):
    rows = curve({0: {1: 0.50, 2: 0.52}, 1: {1: 0.70, 2: 0.70}, 3: {1: 0.90, 2: 0.90}, 2: {1: 0.75, 2: 0.80}})
    table = layer_gains(main(*rows), surgeries, layers)
    assert table["layer"].tolist() == [1, 2, 3]
    assert table["gain"].tolist() == pytest.approx([0.19, 0.075, 0.125])
    assert (table["gain_low"].iloc[1], table["gain_high"].iloc[1]) == pytest.approx(interval([0.05, 0.10]))
    assert table["gain_n"].tolist() == [2, 2, 2]
    assert table["p_holm"].min() == pytest.approx(min(1, 3 * table["p"].min()))


def test_a_layer_without_the_one_below_has_no_gain(main, curve, surgeries, layers):
    table = layer_gains(main(*curve({0: SCORES, 2: SCORES, 3: SCORES})), surgeries, layers)
    assert table["layer"].tolist() == [3]


def test_gains_are_paired_by_seed_and_undefined_where_a_score_is(main, curve, surgeries, layers):
    rows = curve({0: {1: 0.5, 2: 0.6}, 1: {2: 0.7, 3: 0.1}, 2: {2: math.nan, 3: 0.9}, 3: {9: 0.4}})
    table = layer_gains(main(*rows), surgeries, layers)
    assert table["gain_n"].tolist() == [1, 2, 0]
    assert table["gain"].iloc[0] == pytest.approx(0.1)
    # One seed has no interval, an undefined score no gain, no common seed nothing at all.
    assert table["gain_low"].isna().all() and table["gain"].iloc[1:].isna().all()


def test_one_gain_under_two_sizes_is_one_test(main, curve, surgeries, layers):
    rows = [rows for size in ("1000", "all") for rows in curve({0: {1: 0.5, 2: 0.6}, 1: {1: 0.7, 2: 0.85}}, size=size)]
    table = layer_gains(main(*rows), surgeries, layers)
    assert table["size"].tolist() == ["1000", "all"]
    assert table["p_holm"].tolist() == table["p"].tolist()


def test_probes_by_layer(main, make_runs):
    rows = [make_runs({1: 0.5 + layer / 10, 2: 0.6}, recipe="extract_each", depth=layer) for layer in (2, 0, 1)]
    whole = make_runs(SCORES, recipe="extract"), make_runs(SCORES)
    surgical = make_runs(SCORES, recipe="extract", surgery="resets", depth=1)
    table = layer_probes(main(*rows, *whole, surgical))
    assert table["layer"].tolist() == [0, 1, 2] and set(table["recipe"]) == {"extract_each"}
    assert table["mean"].tolist() == pytest.approx([0.55, 0.6, 0.65])
    assert table["n"].tolist() == [2, 2, 2]


def test_every_run_of_a_curve(main, curve, surgeries, layers):
    table = layer_scores(main(*curve({1: {2: 0.8, 1: 0.7}, 0: {1: math.nan}})), surgeries, layers)
    assert table[["depth", "seed"]].to_numpy().tolist() == [[0, 1], [1, 1], [1, 2]]
    assert math.isnan(table["value"].iloc[0]) and table["value"].tolist()[1:] == pytest.approx([0.7, 0.8])

import math

import pytest

from transfer_atlas.analysis.ablations.variants import changed, surgery_variants

RESETS = {0: {1: 0.5, 2: 0.5}, 1: {1: 0.6, 2: 0.64}, 2: {1: 0.7, 2: 0.7}, 3: {1: 0.9, 2: 0.8}}
AUTHORS = {0: {1: 0.55, 2: 0.51}, 1: {1: 0.64, 2: 0.70}, 3: {1: 0.9, 2: 0.8}}


@pytest.fixture
def curve(make_runs):
    """`curve(surgery, {depth: {seed: score}}, ...)`: progressive runs; all layers kept is always the same run."""

    def made(surgery, depths, **others):
        return [
            make_runs(scores, surgery=surgery, depth=depth, digest="full" if depth == 3 else None, **others)
            for depth, scores in depths.items()
        ]

    return made


def test_each_depth_and_their_mean(main, curve, surgeries, layers, interval):
    table = surgery_variants(main(*curve("resets", RESETS), *curve("authors", AUTHORS)), surgeries, layers)
    assert set(table["reference"]) == {"resets"} and set(table["variant"]) == {"authors"}
    assert set(table["changed"]) == {"init: authors_code for truncated_normal"}
    assert table["depth"].isna().tolist() == [True, False, False, False]
    assert table["depth"].tolist()[1:] == [0, 1, 3]
    mean, zero, one, full = table.to_dict("records")
    assert (zero["difference"], one["difference"]) == pytest.approx((0.03, 0.05))
    assert (one["difference_low"], one["difference_high"]) == pytest.approx(interval([0.04, 0.06]))
    # Means over depths 0 and 1 at seeds 1 and 2: .55 .57 and .595 .605.
    assert (mean["reference_mean"], mean["variant_mean"]) == pytest.approx((0.56, 0.60))
    assert (mean["difference_low"], mean["difference_high"]) == pytest.approx(interval([0.045, 0.035]))
    assert mean["difference_n"] == 2
    # With all layers kept both are one run: no difference, and no test that would count in Holm's family.
    assert full["difference"] == 0 and math.isnan(full["p"])
    # Means over depths are a family of their own.
    assert mean["p_holm"] == pytest.approx(mean["p"])
    assert min(zero["p_holm"], one["p_holm"]) == pytest.approx(min(1, 2 * min(zero["p"], one["p"])))


def test_curves_meet_in_the_untouched_encoder(main, make_runs, curve, surgeries, layers):
    rows = [*curve("resets", {0: RESETS[0]}), *curve("authors", {1: AUTHORS[1]}), make_runs(RESETS[3])]
    (row,) = surgery_variants(main(*rows), surgeries, layers).to_dict("records")
    assert (row["depth"], row["difference"], row["reference_mean"]) == (3, 0, pytest.approx(0.85))
    assert math.isnan(row["p_holm"])


def test_reference_is_the_first_of_the_configuration_run_there(main, curve, surgeries, layers):
    rows = [
        *curve("careful", {0: RESETS[0]}, n_train=50),
        *curve("authors", {0: RESETS[0]}, n_train=50),
        *(run for name in ("careful", "authors", "resets") for run in curve(name, {0: RESETS[0]})),
        *curve("resets", {0: RESETS[0]}, n_train=9000),
    ]
    table = surgery_variants(main(*rows), surgeries, layers)
    pairs = table[table["depth"] == 0][["n_train", "reference", "variant"]].to_numpy().tolist()
    assert pairs == [[50, "authors", "careful"], [1000, "resets", "authors"], [1000, "resets", "careful"]]


def test_what_changed(surgeries):
    assert changed(surgeries["authors"], surgeries["resets"]) == "init: truncated_normal for authors_code"
    assert changed(surgeries["resets"], surgeries["careful"]) == (
        "init: authors_code for truncated_normal; biases: keep for reset; rate_factor: 5.0 for 1.0"
    )
    assert changed(surgeries["resets"], surgeries["resets"].model_copy(update={"label": "Again"})) == "nothing"


def test_mean_is_over_seeds_that_have_every_depth(main, curve, surgeries, layers):
    rows = [
        *curve("resets", {0: {1: 0.1, 2: 0.2}, 1: {1: 0.3, 2: 0.4}}),
        *curve("authors", {0: {1: 0.2, 2: 0.3, 3: 0.9}, 1: {2: 0.6, 3: 0.9}}),
    ]
    mean = surgery_variants(main(*rows), surgeries, layers).iloc[0]
    assert (mean["reference_n"], mean["variant_n"], mean["difference_n"]) == (2, 2, 1)
    assert mean["difference"] == pytest.approx(0.45 - 0.3)
    assert math.isnan(mean["difference_low"]) and math.isnan(mean["p_holm"])


def test_undefined_and_missing(main, curve, surgeries, layers):
    rows = [
        *curve("resets", {0: {1: math.nan, 2: 0.5}, 1: {1: 0.6}}),
        *curve("authors", {0: {1: 0.4, 2: 0.5}, 1: {7: 1}}),
    ]
    mean, zero, one = surgery_variants(main(*rows), surgeries, layers).to_dict("records")
    assert zero["difference_n"] == 2 and math.isnan(zero["difference"]) and math.isnan(zero["reference_mean"])
    assert zero["variant_mean"] == pytest.approx(0.45)
    assert one["difference_n"] == 0 and mean["difference_n"] == 0 and math.isnan(mean["difference"])


def test_without_common_depths_there_is_no_mean(main, curve, surgeries, layers):
    rows = [*curve("resets", {0: RESETS[0], 3: RESETS[3]}), *curve("authors", {1: AUTHORS[1], 3: AUTHORS[3]})]
    table = surgery_variants(main(*rows), surgeries, layers)
    assert table["depth"].tolist() == [3] and table["p_holm"].isna().all()


def test_other_kinds_are_no_variants(main, make_runs, curve, surgeries, layers):
    rows = [make_runs(RESETS[0], surgery=name, depth=1) for name in ("blocks", "alone", "singles", "shuffled")]
    assert surgery_variants(main(*curve("resets", RESETS), *rows), surgeries, layers).empty


def test_one_comparison_under_two_sizes_is_one_test(main, curve, surgeries, layers):
    rows = [
        run
        for size in ("1000", "all")
        for name, curves in (("resets", RESETS), ("authors", AUTHORS))
        for run in curve(name, {0: curves[0]}, size=size)
    ]
    table = surgery_variants(main(*rows), surgeries, layers)
    # The mean over the only depth is that depth's comparison again.
    assert len(table) == 4 and table["p_holm"].tolist() == table["p"].tolist()

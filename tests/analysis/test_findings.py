import math

import pandas as pd
import pytest

from transfer_atlas.analysis import ablations, tables
from transfer_atlas.analysis.findings import find, layers_for_share, verdict
from transfer_atlas.analysis.transfer import effects
from transfer_atlas.settings import Surgery

LABELS = {"sentiment": "Film reviews", "finetune": "Fine-tuning", "extract": "Extraction", "films": "Films"}
SURGERIES = {
    "resets": Surgery(kind="progressive"),
    "authors": Surgery(kind="progressive", init="authors_code"),
    "keeps": Surgery(kind="progressive", init="authors_code", biases="keep"),
    "shuffled": Surgery(kind="permute", permutations=10),
}
HIGH, LOW, WIDE = {1: 0.80, 2: 0.81, 3: 0.80}, {1: 0.70, 2: 0.70, 3: 0.70}, {1: 0.60, 2: 0.95, 3: 0.80}


@pytest.fixture
def findings(tasks, pairs):
    """`findings(rows, rows, ...)`: what is found in these runs."""

    def made(*rows, surgeries=SURGERIES):
        main = tables.main_scores(pd.concat(rows, ignore_index=True), tasks)
        whole = {
            "finetune_vs_extract": tables.finetune_vs_extract(main),
            "intermediate": effects.intermediate(main, pairs),
        }
        layers = {model: 3 for model in main["model"]}
        return find({**whole, **ablations.tables(main, surgeries, layers)}, LABELS)

    return made


def line(found, start: str) -> str:
    (text,) = [text for text in found.lines if text.startswith(start)]
    return text


def curve(make_runs, scores, n_train=1000, surgery="resets", **others):
    return [make_runs(s, surgery=surgery, depth=d, n_train=n_train, **others) for d, s in scores.items()]


def test_verdicts():
    assert verdict(0.1, 0.05, 0.15, 3) == "higher"
    assert verdict(-0.1, -0.15, -0.05, 3) == "lower"
    assert verdict(0.1, -0.01, 0.21, 3) == "unclear"
    assert verdict(0.1, 0.0, 0.2, 3) == "unclear"
    assert verdict(0.1, math.nan, math.nan, 1) == "no interval"
    assert verdict(math.nan, math.nan, math.nan, 3) == "undefined"
    assert verdict(math.nan, math.nan, math.nan, 0) == "no common seeds"


def test_clearly_higher(findings, make_runs):
    text = line(findings(make_runs(HIGH), make_runs(LOW, recipe="extract")), "Fine-tune or extract")
    assert (
        "Film reviews (1,000 examples): Fine-tuning above Extraction (+0.103 accuracy [+0.089, +0.118], n = 3)" in text
    )


def test_clearly_lower(findings, make_runs):
    text = line(findings(make_runs(LOW), make_runs(HIGH, recipe="extract")), "Fine-tune or extract")
    assert "Fine-tuning below Extraction (-0.103 accuracy [-0.118, -0.089], n = 3)" in text


def test_unclear(findings, make_runs):
    text = line(findings(make_runs(WIDE), make_runs(LOW, recipe="extract")), "Fine-tune or extract")
    assert "no clear difference between Fine-tuning and Extraction (+0.083 accuracy [-0.353, +0.520], n = 3)" in text
    assert "above" not in text


def test_one_seed_claims_nothing(findings, make_runs):
    text = line(findings(make_runs({1: 0.9}), make_runs({1: 0.1}, recipe="extract")), "Fine-tune or extract")
    assert "Fine-tuning minus Extraction is +0.800 accuracy, no interval (n = 1)" in text
    assert "above" not in text


def test_unpaired_seeds_are_told(findings, make_runs):
    found = findings(make_runs({1: 0.9, 2: 0.8, 3: 0.7}), make_runs({2: 0.1, 3: 0.1}, recipe="extract"))
    assert "n = 2 pairs of 3 and 2 seeds" in line(found, "Fine-tune or extract")


def test_undefined_scores_are_told(findings, make_runs):
    found = findings(make_runs({**HIGH, 1: math.nan}), make_runs(LOW, recipe="extract"))
    assert "undefined, because the accuracy of a run is undefined (n = 3)" in line(found, "Fine-tune or extract")


def test_what_was_not_run_is_said(findings, make_runs):
    found = findings(make_runs(HIGH))
    assert len(found.lines) == 5
    for start in ("Fine-tune or extract", "Intermediate task", "Layers", "Scale of the new weights"):
        assert line(found, start).endswith(": not run.")
    assert found.data["layers"] == {"status": "not run", "gains": []}
    for name in ("initialisation_scale", "permutations"):
        assert found.data[name] == {"status": "not run", "comparisons": []}


def test_largest_common_size_speaks(findings, make_runs):
    found = findings(
        make_runs(LOW, n_train=100),
        make_runs(HIGH, n_train=100, recipe="extract"),
        make_runs(HIGH, n_train=2000),
        make_runs(LOW, n_train=2000, recipe="extract"),
        make_runs(LOW, n_train=9000),  # no extraction at this size
    )
    text = line(found, "Fine-tune or extract")
    assert "(2,000 examples): Fine-tuning above" in text
    assert "100 examples" not in text and "9,000" not in text


def test_intermediate_task(findings, make_runs):
    small = [make_runs(HIGH, intermediate="films", n_train=50), make_runs(LOW, n_train=50)]
    found = findings(make_runs(LOW, intermediate="films"), make_runs(HIGH), *small)
    text = line(found, "Intermediate task")
    assert "(1,000 examples): Fine-tuning after Films below alone (-0.103 accuracy" in text
    assert "above" not in text


def test_many_intermediate_comparisons_are_counted_and_averaged(findings, make_runs):
    rows = [make_runs(HIGH, model=model, intermediate="films") for model in "abcd"]
    rows += [make_runs(LOW, model=model, intermediate="goods") for model in "abc"]
    rows += [make_runs(LOW, model=model) for model in "ab"] + [make_runs(HIGH, model=model) for model in "cd"]
    rows += [make_runs(HIGH, model="a", intermediate="none~films")]
    found = findings(*rows)
    text = line(found, "Intermediate task")
    # After films: clearly better for a and b, the same for c and d. After goods: the same for a and b, worse for c.
    assert "of 7 comparisons it helps in 2 (29%) and hurts in 1 (14%) beyond the noise of seeds" in text
    assert "all +0.015 [" in text and "domain -0.034 [" in text and "same +0.052 [" in text
    assert "over as many updates on the target itself +0.000 no interval (n = 1)" in text
    assert "Film reviews" not in text and len(found.data["intermediate"]["comparisons"]) == 7


def test_holm_is_told_where_it_takes_the_difference_away(findings, make_runs):
    rows = [make_runs({1: 0.80, 2: 0.83, 3: 0.84}), make_runs(LOW, recipe="extract")]
    assert "Holm" not in line(findings(*rows), "Fine-tune or extract")
    more = [make_runs(WIDE, n_train=n, recipe=r) for n in (10, 20, 30, 40, 50) for r in ("finetune", "extract")]
    assert "n = 3, Holm p 0.06" in line(findings(*rows, *more), "Fine-tune or extract")


def test_layers_at_the_largest_and_the_smallest_size(findings, make_runs):
    large = {0: LOW, 1: {1: 0.72, 2: 0.72, 3: 0.73}, 2: {1: 0.80, 2: 0.80, 3: 0.80}, 3: HIGH}
    small = {0: LOW, 3: WIDE}
    middle = {0: LOW, 3: HIGH}
    found = findings(*curve(make_runs, large, 5000), *curve(make_runs, middle, 500), *curve(make_runs, small, 100))
    text = line(found, "Layers")
    assert "(5,000 examples): 3 pretrained layers above none (+0.103 accuracy [" in text
    assert "90% of it with the bottom 2" in text
    assert "(100 examples): no clear difference between 3 pretrained layers and none" in text
    assert "500 examples" not in text.replace("(5,000", "")
    gains = found.data["layers"]["gains"]
    assert [(gain["n_train"], gain["layers_for_90_percent"]) for gain in gains] == [(5000, 2), (100, None)]
    assert not any("CHECK" in text for text in found.lines)


def test_a_size_without_depth_0_is_passed_over(findings, make_runs):
    found = findings(*curve(make_runs, {0: LOW, 3: LOW}, 500), *curve(make_runs, {1: LOW, 3: HIGH}, 5000))
    assert "(500 examples)" in found.lines[0] and "CHECK" in found.lines[0]
    assert "5,000" not in line(found, "Layers")
    only = findings(*curve(make_runs, {1: LOW, 3: HIGH}, 5000))
    assert line(only, "Layers").endswith(": not run.")


def test_layers_speak_of_the_first_progressive_surgery(findings, make_runs):
    """Of each model and task; the other schemes are told by their own table and line."""
    rows = [
        run
        for surgery, top in (("keeps", LOW), ("authors", LOW), ("resets", HIGH))
        for n_train in (100, 2000)
        for run in curve(make_runs, {0: LOW, 2: top}, n_train, surgery)
    ]
    rows += curve(make_runs, {0: LOW, 2: LOW}, 9000, "keeps")
    rows += curve(make_runs, {0: LOW, 2: HIGH}, 500, "keeps", model="other")
    found = findings(*rows)
    assert not any("CHECK" in text for text in found.lines)
    gains = [(gain["where"], gain["verdict"]) for gain in found.data["layers"]["gains"]]
    assert gains == [
        ("Film reviews, other, keeps (500 examples)", "higher"),
        ("Film reviews, tiny, resets (2,000 examples)", "higher"),
        ("Film reviews, tiny, resets (100 examples)", "higher"),
    ]


def test_all_pretrained_layers_may_be_an_untouched_run(findings, make_runs):
    found = findings(*curve(make_runs, {0: LOW, 2: WIDE}), make_runs(HIGH))
    assert "3 pretrained layers above none (+0.103 accuracy [" in line(found, "Layers")


@pytest.mark.parametrize("full", [LOW, WIDE, {1: 0.1, 2: 0.1, 3: 0.2}])
def test_no_clear_gain_at_the_largest_size_is_the_first_line(findings, make_runs, full):
    found = findings(*curve(make_runs, {0: LOW, 3: HIGH}, 100), *curve(make_runs, {0: LOW, 3: full}, 5000))
    assert found.lines[0].startswith("CHECK before you believe the rest")
    assert "Film reviews (5,000 examples)" in found.lines[0] and "(100 examples)" not in found.lines[0]
    assert len(found.lines) == 6


SMALLER = {depth: {seed: score - 0.01 * seed for seed, score in LOW.items()} for depth in (0, 1)}


@pytest.mark.parametrize("first", ["resets", "authors"])
def test_scale_of_the_new_weights(findings, make_runs, first):
    """The intended scale minus the authors', whichever of them is the reference."""
    surgeries = {first: SURGERIES[first], **SURGERIES}
    rows = [*curve(make_runs, {0: LOW, 1: LOW, 3: HIGH}), *curve(make_runs, SMALLER, surgery="authors")]
    found = findings(*rows, surgeries=surgeries)
    assert (
        "mean over layers kept: Film reviews (1,000 examples): no clear difference between the intended scale and the "
        "authors' smaller one (+0.020 accuracy [-0.005, +0.045], n = 3)"
    ) in line(found, "Scale of the new weights")
    (comparison,) = found.data["initialisation_scale"]["comparisons"]
    assert comparison["difference"] == pytest.approx(0.02) and comparison["low"] < 0 < comparison["high"]


def test_scale_alone_and_every_size_once(findings, make_runs):
    sizes = [("500", 500), ("2000", 2000), ("all", 2000)]
    rows = [
        run
        for size, n in sizes
        for surgery, scores in (("resets", LOW), ("authors", HIGH), ("keeps", WIDE))
        for run in curve(make_runs, {0: scores}, n, surgery, size=size)
    ]
    text = line(findings(*rows), "Scale of the new weights")
    assert text.count("the intended scale below the authors' smaller one (-0.103 accuracy [-0.118, -0.089]") == 2
    assert "(500 examples)" in text and "(2,000 examples)" in text
    # All layers kept is one run, whatever the others would have got.
    kept = [run for name in ("resets", "authors") for run in curve(make_runs, {3: LOW}, surgery=name)]
    assert line(findings(*kept), "Scale of the new weights").endswith(": not run.")
    # Biases kept besides: another question.
    both = [run for name in ("resets", "keeps") for run in curve(make_runs, {0: LOW}, surgery=name)]
    assert line(findings(*both), "Scale of the new weights").endswith(": not run.")


def permuted(make_runs, scores, **others):
    return [make_runs(s, surgery="shuffled", depth=number, **others) for number, s in enumerate(scores, 1)]


def test_order_of_the_layers_over_seeds(findings, make_runs):
    """All permutations are compared with the same few runs: however many there are, seeds are what repeats."""
    shifts = (0.10, 0.14, 0.12)
    rows = permuted(make_runs, [{seed: score - shift for seed, score in LOW.items()} for shift in shifts])
    found = findings(make_runs(WIDE), *rows)
    assert line(found, "Order of the layers") == (
        "Order of the layers, mean over permutations: Film reviews (1,000 examples): no clear difference between "
        "permuted layers and the usual order (-0.203 accuracy [-0.640, +0.233], n = 3)."
    )
    assert len(found.lines) == 6
    (comparison,) = found.data["permutations"]["comparisons"]
    assert (comparison["n"], comparison["difference"]) == (3, pytest.approx(0.58 - 2.35 / 3))


def test_permutations_without_interval_or_comparison(findings, make_runs):
    one = findings(make_runs({1: 0.8}), *permuted(make_runs, [{1: 0.7}, {1: 0.6}, {1: 0.5}]))
    assert "permuted layers minus the usual order is -0.200 accuracy, no interval (n = 1)" in line(one, "Order of")
    undefined = findings(make_runs(HIGH), *permuted(make_runs, [LOW, {**LOW, 1: math.nan}]))
    assert "undefined, because the accuracy of a run is undefined (n = 3)" in line(undefined, "Order of the layers")
    unpaired = findings(make_runs(HIGH), *permuted(make_runs, [LOW, {9: 0.5}]))
    assert "permuted layers and the usual order have no seed in common" in line(unpaired, "Order of the layers")
    alone = findings(*permuted(make_runs, [LOW, HIGH]))
    assert not any(text.startswith("Order") for text in alone.lines)


def test_many_comparisons_are_counted(findings, make_runs):
    rows = []
    for i in range(8):
        left = {0: HIGH, 1: LOW}.get(i, WIDE)
        rows += [make_runs(left, model=f"m{i}"), make_runs({s: 0.75 for s in LOW}, model=f"m{i}", recipe="extract")]
    text = line(findings(*rows), "Fine-tune or extract")
    assert "8 comparisons, 1 clearly positive, 1 clearly negative, 6 not clear" in text
    assert "Film reviews, m0 (1,000 examples): Fine-tuning above" in text
    assert "Film reviews, m1 (1,000 examples): Fine-tuning below" in text


def test_data_says_the_same(findings, make_runs):
    found = findings(make_runs(HIGH), make_runs(LOW, recipe="extract"))
    (comparison,) = found.data["finetune_or_extract"]["comparisons"]
    assert comparison["verdict"] == "higher" and comparison["n"] == 3
    assert comparison["difference"] == pytest.approx(0.31 / 3)
    assert found.data["sentences"] == found.lines


def test_layers_for_share():
    assert layers_for_share({0: 0.0, 1: 0.5, 2: 0.89, 3: 0.9, 4: 1.0}) == 3
    assert layers_for_share({0: 0.0, 4: 1.0}) == 4
    # One lucky depth does not count, nor does an undefined one.
    assert layers_for_share({0: 0.0, 1: 0.95, 2: 0.5, 3: 1.0}) == 3
    assert layers_for_share({0: 0.0, 1: 0.95, 2: math.nan, 3: 1.0}) == 3

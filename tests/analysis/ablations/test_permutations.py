import math

import pytest
from scipy import stats

from transfer_atlas.analysis.ablations.permutations import permutation_correlations, permutations
from transfer_atlas.surgeries import permutation

FULL = {1: 0.90, 2: 0.92}


@pytest.fixture
def permuted(make_runs):
    """`permuted({permutation: score}, ...)`: one run of each permutation."""

    def made(scores, **others):
        return [make_runs({1: score}, surgery="shuffled", depth=p, **others) for p, score in scores.items()]

    return made


def test_difference_from_the_full_encoder(main, make_runs, surgeries, layers, interval):
    runs = main(
        make_runs(FULL),
        make_runs({1: 0.7, 2: 0.8}, surgery="shuffled", depth=4),
        make_runs({1: 0.6, 2: 0.6}, surgery="authors", depth=0),
    )
    _, row = permutations(runs, surgeries, layers).to_dict("records")
    assert (row["permutation"], row["surgery"]) == (4, "shuffled")
    assert (row["mean"], row["difference"]) == pytest.approx((0.75, -0.16))
    assert (row["difference_low"], row["difference_high"]) == pytest.approx(interval([-0.2, -0.12]))
    assert (row["full_mean"], row["none_mean"]) == pytest.approx((0.91, 0.6))
    assert (row["full_n"], row["none_n"]) == (2, 2)


def test_order_is_the_papers(main, permuted, surgeries):
    surgeries["shuffled"] = surgeries["shuffled"].model_copy(update={"permutations": [1, 10]})
    table = permutations(main(*permuted({10: 0.5, 1: 0.5})), surgeries, {"tiny": 12})
    # The paper's list, which counts layers from 0.
    published = [[2, 3, 4, 10, 1, 6, 0, 7, 11, 9, 8, 5], [2, 6, 7, 5, 11, 8, 10, 3, 1, 0, 4, 9]]
    assert table["order"].tolist()[1:] == [" ".join(str(layer + 1) for layer in order) for order in published]


def test_none_is_of_the_first_progressive_surgery_run_there(main, make_runs, permuted, surgeries, layers):
    scratch = [make_runs({1: v}, surgery=name, depth=0) for name, v in (("authors", 0.6), ("resets", 0.5))]
    elsewhere = make_runs({1: 0.4}, surgery="careful", depth=0, n_train=50)
    table = permutations(
        main(*scratch, elsewhere, *permuted({1: 0.7}), *permuted({1: 0.7}, n_train=50)), surgeries, layers
    )
    assert table[["n_train", "none_mean"]].to_numpy().tolist() == [[50, 0.4]] * 2 + [[1000, 0.5]] * 2


def test_one_seed_no_baseline_and_undefined_scores(main, make_runs, permuted, surgeries, layers):
    bare = permutations(main(*permuted({1: 0.7})), surgeries, layers)
    assert bare["mean"].tolist() == pytest.approx([0.7, 0.7])
    assert bare[["difference", "full_mean", "none_mean", "difference_n", "full_n", "none_n"]].isna().all(axis=None)
    rows = *permuted({1: 0.7, 2: math.nan}), make_runs({5: 0.7}, surgery="shuffled", depth=3)
    table = permutations(main(make_runs(FULL), *rows), surgeries, layers)
    # No seed has all permutations.
    assert table["difference_n"].tolist() == [0, 1, 1, 0] and table["n"].tolist() == [0, 1, 1, 1]
    assert table["difference"].iloc[1] == pytest.approx(-0.2)
    assert table["difference"].iloc[[0, 2, 3]].isna().all() and table["p"].isna().all()


def test_mean_over_permutations_is_by_seed(main, make_runs, surgeries, layers, interval):
    """They share the untouched encoder: where it scatters so does their mean, however many permutations there are."""
    full = {1: 0.90, 2: 0.80, 3: 0.70}
    rows = [
        make_runs({1: 0.40 + p / 100, 2: 0.42 + p / 100, 3: 0.41}, surgery="shuffled", depth=p) for p in range(1, 5)
    ]
    rows.append(make_runs({**dict.fromkeys((1, 2, 3), 0.5), 4: 0.1}, surgery="shuffled", depth=7))
    table = permutations(main(make_runs({**full, 4: 0.9}), *rows), surgeries, {"tiny": 12})
    assert table["permutation"].isna().tolist() == [True, *[False] * 5] and table["order"].isna().iloc[0]
    mean = table.iloc[0]
    means = [(4 * 0.40 + 0.10 + 0.5) / 5, (4 * 0.42 + 0.10 + 0.5) / 5, (4 * 0.41 + 0.5) / 5]
    assert (mean["mean"], mean["n"], mean["difference_n"]) == (pytest.approx(sum(means) / 3), 3, 3)
    expected = interval([score - whole for score, whole in zip(means, full.values(), strict=True)])
    assert (mean["difference_low"], mean["difference_high"]) == pytest.approx(expected)
    assert mean["full_n"] == 4
    # Means over permutations are a family of their own.
    assert mean["p_holm"] == pytest.approx(mean["p"])
    assert table["p_holm"].iloc[1:].min() == pytest.approx(min(1, 5 * table["p"].iloc[1:].min()))


def test_mean_is_over_orders_that_permute(main, make_runs, surgeries):
    """Of two layers there are but two orders, one of them their own."""
    alone = {number: permutation(number, 2) == (1, 2) for number in range(1, 9)}
    assert sorted(set(alone.values())) == [False, True]
    rows = [
        make_runs({1: 0.9 if own else 0.5}, surgery="shuffled", depth=number, digest=f"order {own}")
        for number, own in alone.items()
    ]
    table = permutations(main(make_runs({1: 0.9}, digest="order True"), *rows), surgeries, {"tiny": 2})
    assert table["mean"].iloc[0] == 0.5
    table = permutations(
        main(*(row for row, own in zip(rows, alone.values(), strict=True) if own)), surgeries, {"tiny": 2}
    )
    assert len(table) == sum(alone.values()) and table["permutation"].notna().all()


def test_correlation_of_two_tasks_over_permutations(main, permuted, surgeries):
    films, other = [0.50, 0.60, 0.55, 0.70, 0.65, 0.58], [0.10, 0.22, 0.30, 0.41, 0.35, 0.12]
    rows = [*permuted(dict(enumerate(films, 1))), *permuted(dict(enumerate(other, 1)), task="similarity")]
    rows += permuted({8: 0.99})  # The other task has no such permutation.
    (row,) = permutation_correlations(main(*rows), surgeries).to_dict("records")
    assert (row["task_a"], row["task_b"], row["permutations"]) == ("sentiment", "similarity", 6)
    # Ranks 1 4 2 6 5 3 and 1 3 4 6 5 2: 1 - 6 * (0 + 1 + 4 + 0 + 0 + 1) / (6 * 35)
    rho = 1 - 36 / 210
    assert row["spearman"] == pytest.approx(rho)
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / 3)
    assert row["spearman_low"] == pytest.approx(math.tanh(math.atanh(rho) - half), abs=1e-6)
    assert row["spearman_high"] == pytest.approx(math.tanh(math.atanh(rho) + half), abs=1e-6)
    reference = stats.pearsonr(films, other)
    interval = reference.confidence_interval(0.95)
    assert row["pearson"] == pytest.approx(reference.statistic)
    assert (row["pearson_low"], row["pearson_high"]) == pytest.approx((interval.low, interval.high))
    # Of 720 pairings 42 have a rho, and 39 an r, as far from 0.
    assert (row["spearman_p"], row["pearson_p"]) == pytest.approx((42 / 720, 39 / 720))
    assert (row["spearman_p_holm"], row["pearson_p_holm"]) == (row["spearman_p"], row["pearson_p"])


def test_correlation_is_of_means_over_seeds(main, make_runs, permuted, surgeries):
    seeds = {1: (0.1, 0.5), 2: (0.3, 0.1), 3: (0.4, 0.6), 4: (0.9, 0.3)}  # means .3 .2 .5 .6
    rows = [make_runs({1: a, 2: b}, surgery="shuffled", depth=p) for p, (a, b) in seeds.items()]
    (row,) = permutation_correlations(
        main(*rows, *permuted({1: 0.3, 2: 0.2, 3: 0.5, 4: 0.6}, task="similarity")), surgeries
    ).to_dict("records")
    assert (row["spearman"], row["pearson"]) == pytest.approx((1, 1))
    assert row["spearman_p"] == row["pearson_p"] == pytest.approx(2 / 24)
    assert math.isnan(row["spearman_low"]) and math.isnan(row["pearson_low"])


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param({1: 0.5, 2: 0.6}, id="two points lie on a line"),
        pytest.param({1: 0.5, 2: 0.6, 3: math.nan, 4: 0.7}, id="undefined score"),
        pytest.param({1: 0.5, 2: 0.5, 3: 0.5, 4: 0.5}, id="all equal"),
        pytest.param({7: 0.5, 8: 0.6}, id="none in common"),
    ],
)
def test_undefined_correlations(main, permuted, surgeries, scores):
    others = permuted({1: 0.1, 2: 0.4, 3: 0.2, 4: 0.3}, task="similarity")
    (row,) = permutation_correlations(main(*permuted(scores), *others), surgeries).to_dict("records")
    assert row["permutations"] == len(scores.keys() & {1, 2, 3, 4})
    for name in ("spearman", "spearman_low", "spearman_p", "spearman_p_holm", "pearson", "pearson_high", "pearson_p"):
        assert math.isnan(row[name]), name


def test_three_permutations_have_no_interval(main, permuted, surgeries):
    others = permuted({1: 0.1, 2: 0.4, 3: 0.2}, task="similarity")
    (row,) = permutation_correlations(main(*permuted({1: 0.5, 2: 0.6, 3: 0.7}), *others), surgeries).to_dict("records")
    assert row["spearman"] == pytest.approx(0.5)
    assert math.isnan(row["spearman_low"]) and math.isnan(row["pearson_low"])


def test_holm_over_pairs_counts_the_same_runs_once(main, permuted, surgeries):
    one, other = {1: 0.5, 2: 0.6, 3: 0.55, 4: 0.7}, {1: 0.1, 2: 0.4, 3: 0.2, 4: 0.25}
    rows = [
        run
        for place in ({"size": "1000"}, {"size": "all"}, {"n_train": 500})
        for scores, task in ((one, "sentiment"), (other, "similarity"))
        for run in permuted(scores, task=task, **place)
    ]
    table = permutation_correlations(main(*rows), surgeries)
    # Sizes by number, though the table does not hold the number of examples.
    assert table["size"].tolist() == ["500", "1000", "all"]
    for name in ("spearman", "pearson"):
        assert table[f"{name}_p_holm"].tolist() == pytest.approx([min(1, 2 * p) for p in table[f"{name}_p"]])

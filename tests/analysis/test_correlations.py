import math
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from transfer_atlas.analysis.correlations import EXACT_PAIRS, correlate
from transfer_atlas.analysis.intervals import correlation_interval, rank_correlation_interval

FUNCTIONS = {
    "pearson": (stats.pearsonr, correlation_interval),
    "spearman": (stats.spearmanr, rank_correlation_interval),
}
X = [0.10, 0.20, 0.30, 0.50, 0.90, 0.91]
CURVED = [0.40, 0.10, 0.30, 0.52, 0.55, 0.50]
TIED = [0.40, 0.40, 0.10, 0.52, 0.52, 0.60]
MANY = np.arange(EXACT_PAIRS + 1.0)


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("y", [CURVED, TIED, [-value for value in CURVED]])
def test_few_pairs_have_the_p_of_all_pairings(kind, y):
    function, interval = FUNCTIONS[kind]
    found = correlate(X, y, kind)
    r = function(X, y).statistic
    assert (found.r, found.n) == (pytest.approx(r), 6)
    assert (found.low, found.high) == pytest.approx(interval(r, 6))
    assert found.p == np.mean([abs(function(X, order).statistic) >= abs(r) - 1e-9 for order in permutations(y)])
    assert found.p < 0.2


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_the_same_order_of_few_pairs_is_not_rare(kind):
    """Of n! orders two are as extreme, the sorted ones."""
    for n in (3, 4, 5):
        found = correlate(range(n), range(n), kind)
        assert (found.r, found.p) == pytest.approx((1, 2 / math.factorial(n)))
        assert math.isnan(found.low) and math.isnan(found.high)


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("n", [3, 4, 5, 8])
def test_few_pairs_come_out_significant_no_more_often_than_they_may(kind, n):
    rng = np.random.default_rng(n)
    sides = [(rng.standard_normal(n), rng.standard_normal(n)) for _ in range(200 if n < 8 else 8)]
    significant = [correlate(*both, kind).p <= 0.05 for both in sides]
    assert sum(significant) <= (0 if n < 5 and kind == "spearman" else stats.binom.ppf(0.9999, len(sides), 0.05))


def test_no_correlation_at_all_is_as_near_to_0_as_can_be():
    assert correlate([1, 2, 3], [1, 5, 1], "pearson").p == 1
    assert correlate([0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.7], "pearson").p == 1


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_many_pairs_have_the_p_of_the_t_test(kind):
    y = np.sin(MANY) + 0.1 * MANY
    function, _ = FUNCTIONS[kind]
    found, reference = correlate(MANY, y, kind), function(MANY, y)
    assert (found.r, found.p) == pytest.approx((reference.statistic, reference.pvalue))


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        pytest.param([1, 2], [3, 4], id="two points lie on a line"),
        pytest.param([1, 1, 1], [1, 2, 3], id="all equal"),
        pytest.param([1, 2, 3], [0.1 + 0.2, 0.3, 0.3], id="equal but for rounding"),
        pytest.param([1, 2, 3], [1, 2, math.nan], id="undefined value"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_undefined(kind, x, y):
    found = correlate(x, y, kind)
    assert found.n == len(x)
    assert all(math.isnan(value) for value in (found.r, found.low, found.high, found.p))


def test_values_that_differ_by_rounding_share_their_rank():
    ties = [0.3, 0.1 + 0.2, 0.5, 0.6]
    assert correlate([1, 2, 3, 4], ties, "spearman") == correlate([1, 2, 3, 4], [0.3, 0.3, 0.5, 0.6], "spearman")

import math

import numpy as np
import pytest
from scipy import stats

from transfer_atlas.analysis.intervals import correlation_interval, estimate, holm, paired, rank_correlation_interval


def test_three_values_by_hand():
    found = estimate([0.7, 0.8, 0.9])
    assert found.mean == pytest.approx(0.8)
    assert found.sd == pytest.approx(0.1)  # ddof 1: sqrt((0.01 + 0 + 0.01) / 2)
    assert found.n == 3
    # t(0.975, 2 degrees) = 4.302653 from the tables; half width = 4.302653 * 0.1 / sqrt(3)
    assert found.low == pytest.approx(0.8 - 0.2484138, abs=1e-6)
    assert found.high == pytest.approx(0.8 + 0.2484138, abs=1e-6)


def test_one_value_has_no_deviation_and_no_interval():
    found = estimate([0.7])
    assert (found.mean, found.n) == (0.7, 1)
    assert math.isnan(found.sd) and math.isnan(found.low) and math.isnan(found.high)


def test_no_value():
    found = estimate([])
    assert found.n == 0 and math.isnan(found.mean)


def test_an_undefined_value_is_not_left_out():
    found = estimate([0.7, math.nan, 0.9])
    assert found.n == 3 and math.isnan(found.mean) and math.isnan(found.low)


def test_pairs_agree_with_scipy():
    left, right = {1: 0.80, 2: 0.83, 3: 0.79, 4: 0.85}, {1: 0.78, 2: 0.80, 3: 0.79, 4: 0.80}
    found = paired(left, right)
    reference = stats.ttest_rel(list(left.values()), list(right.values()))
    interval = reference.confidence_interval(0.95)
    assert found.p == pytest.approx(reference.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.mean == pytest.approx(0.025)


def test_pairs_are_by_seed_not_by_position():
    found = paired({1: 0.5, 2: 0.9}, {2: 0.8, 1: 0.4})
    assert found.mean == pytest.approx(0.1)
    assert found.sd == pytest.approx(0, abs=1e-12)


def test_seeds_without_partner_do_not_count_and_are_told():
    found = paired({1: 0.5, 2: 0.6, 3: 0.9}, {2: 0.5, 3: 0.7, 4: 0.1})
    assert found.mean == pytest.approx(0.15)
    assert (found.n, found.n_left, found.n_right) == (2, 3, 3)


def test_no_common_seed():
    found = paired({1: 0.5}, {2: 0.5})
    assert found.n == 0 and math.isnan(found.mean) and math.isnan(found.p)


def test_one_pair_is_no_test():
    found = paired({1: 0.5}, {1: 0.25})
    assert found.mean == 0.25 and math.isnan(found.p) and math.isnan(found.low)


def test_equal_sides_are_no_difference():
    assert paired({1: 0.5, 2: 0.6}, {1: 0.5, 2: 0.6}).p == 1.0


def test_constant_difference_is_the_limit_of_the_t_test():
    assert paired({1: 0.5, 2: 0.75}, {1: 0.25, 2: 0.5}).p == 0.0


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, each at least its forerunner
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_holm_leaves_out_what_is_no_test():
    found = holm([math.nan, 0.02, 0.03])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.04, 0.04])
    assert holm([]) == []


def test_interval_of_a_correlation():
    r, n = 0.6, 20
    found = stats.pearsonr(*_with_correlation(r, n)).confidence_interval(0.95)
    assert correlation_interval(r, n) == pytest.approx((found.low, found.high), abs=1e-6)
    assert all(math.isnan(end) for end in correlation_interval(0.9, 3))


def test_interval_of_a_rank_correlation_by_hand():
    # tanh(atanh(0.6) +- 1.959964 * sqrt((1 + 0.36 / 2) / 17)), wider than that of Pearson's r
    low, high = rank_correlation_interval(0.6, 20)
    assert (low, high) == pytest.approx((0.174954, 0.836536), abs=1e-5)
    assert low < correlation_interval(0.6, 20)[0] and high > correlation_interval(0.6, 20)[1]
    assert rank_correlation_interval(-0.6, 20) == pytest.approx((-high, -low))


@pytest.mark.parametrize("interval", [correlation_interval, rank_correlation_interval])
@pytest.mark.parametrize("r, n", [(0.9, 3), (math.nan, 9), (1.0, 9), (-1.0, 9), (0.9999999999999999, 9)])
def test_a_correlation_without_interval(interval, r, n):
    """That a few pairs lie on a line, or have the same order, is no certainty."""
    assert all(math.isnan(end) for end in interval(r, n))


def _with_correlation(r: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Two samples with exactly this correlation."""
    x, y = np.linalg.qr(np.column_stack([np.ones(n), np.arange(n), np.arange(n) ** 2 % 7]))[0].T[1:]
    return x, r * x + math.sqrt(1 - r**2) * y

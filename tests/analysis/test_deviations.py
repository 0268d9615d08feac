import math

import pytest
from scipy import stats

from transfer_atlas.analysis.deviations import log_ratio


def test_a_ratio_of_two_samples():
    wide, narrow = [0.0, 2.0, 4.0], [1.0, 2.0, 3.0]
    found = log_ratio([wide], [narrow])
    assert (found.mean, found.n) == (pytest.approx(math.log(2)), 3)
    # The interval holds 0 if and only if the two-sided F test of equal variances finds nothing: F = 4 on 2 and 2.
    assert math.exp(2 * found.low) == pytest.approx(4 / 39) and math.exp(2 * found.high) == pytest.approx(4 * 39)
    reverse = log_ratio([narrow], [wide])
    assert (reverse.low, reverse.high) == (pytest.approx(-found.high), pytest.approx(-found.low))


def test_the_interval_ends_where_the_test_is_just_significant():
    wide, narrow = [0.0, 3.0, 1.0, 8.0, 4.0], [0.1, 0.3, -0.2, 0.0, 0.4, 0.6]
    found = log_ratio([wide], [narrow])
    scaled = log_ratio([[value * math.exp(-found.low) for value in wide]], [narrow])
    assert scaled.low == pytest.approx(0)
    assert stats.f.sf(math.exp(2 * scaled.mean), 4, 5) == pytest.approx(0.025)


def test_the_ratio_is_the_mean_over_settings():
    """Deviations 2 and 1 against 1 and 1: a mean logarithm of half that of 2."""
    found = log_ratio([[0.0, 2.0, 4.0], [100.0, 100 + math.sqrt(2)]], [[1.0, 2.0, 3.0], [50.0, 51.0, 52.0]])
    assert (found.mean, found.n) == (pytest.approx(math.log(2) / 2), 2)


def test_settings_share_their_seeds():
    """However many settings scatter alike, they say no more than one."""
    wide, narrow = [0.0, 3.0, 1.0, 8.0, 4.0], [0.1, 0.3, -0.2, 0.0, 0.4]
    assert log_ratio([wide] * 12, [narrow] * 12).low == pytest.approx(log_ratio([wide], [narrow]).low)
    assert log_ratio([wide] * 12, [narrow] * 12).high == pytest.approx(log_ratio([wide], [narrow]).high)


@pytest.mark.parametrize(
    "left", [[], [[1.0]], [[50.9] * 3], [[1.0, math.nan]], [[1.0, 2.0], [3.0]], [[1.0, 2.0], [3.0, 3.0]]]
)
def test_what_has_no_deviation_has_no_ratio(left):
    found = log_ratio(left, [[1.0, 2.0]])
    assert math.isnan(found.mean) and math.isnan(found.low)

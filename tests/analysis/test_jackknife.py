import math
from statistics import fmean

import pytest

from transfer_atlas.analysis.intervals import estimate
from transfer_atlas.analysis.jackknife import jackknife

VALUES = [0.3, 1.9, 2.2, 3.8, 0.1]


def test_of_a_mean_it_is_the_t_interval():
    found, expected = jackknife(fmean, VALUES), estimate(VALUES)
    assert found.n == 5
    for name in ("mean", "sd", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_of_a_squared_mean():
    found = jackknife(lambda seeds: fmean(seeds) ** 2, [1.0, 3.0])
    # All: 4; without the first: 9, without the second: 1. Pseudo-values 2 * 4 - 9 = -1 and 2 * 4 - 1 = 7.
    assert (found.mean, found.sd) == (4, pytest.approx(math.sqrt(32)))
    assert (found.low + found.high) / 2 == pytest.approx(4) and found.low == pytest.approx(4 - 12.7062 * 4, abs=1e-3)


def test_the_interval_is_cut_to_what_can_be():
    found = jackknife(fmean, VALUES, within=(0.5, 2))
    assert (found.low, found.high) == (0.5, 2) and found.mean == pytest.approx(fmean(VALUES))


def test_without_spread_there_is_no_interval():
    assert jackknife(fmean, []).n == 0
    one = jackknife(fmean, [2.0])
    assert (one.mean, one.n) == (2, 1) and math.isnan(one.low)


def test_a_statistic_that_hangs_on_one_seed_has_no_interval():
    found = jackknife(lambda seeds: 1.0 if 3.8 in seeds else math.nan, VALUES)
    assert found.mean == 1 and found.n == 5 and math.isnan(found.sd) and math.isnan(found.low)

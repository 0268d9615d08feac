import math

import numpy as np
import pytest
from scipy import stats

from transfer_atlas.analysis.anova import one_way


def drawn(between: float, within: float, groups: int, size: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.normal(0, between, (groups, 1)) + generator.normal(0, within, (groups, size))


def test_f_and_p_are_those_of_scipy():
    values = drawn(1.0, 1.0, 6, 5, seed=1)
    found = one_way(values.tolist())
    f, p = stats.f_oneway(*values)
    assert (found.f, found.p) == pytest.approx((f, p))
    within = values.var(axis=1, ddof=1).mean()
    between = values.mean(axis=1).var(ddof=1) - within / 5
    assert found.ratio.mean == pytest.approx(between / within) and found.ratio.n == 6


def test_the_interval_holds_the_true_ratio_as_often_as_it_says():
    found = [one_way(drawn(2.0, 1.0, 6, 4, seed).tolist()).ratio for seed in range(2000)]
    share = sum(ratio.low <= 4.0 <= ratio.high for ratio in found) / len(found)
    assert share == pytest.approx(0.95, abs=0.012)


def test_no_variance_is_below_0():
    ratio = one_way([[1.0, 3.0], [3.0, 1.5], [2.0, 2.6]]).ratio
    assert ratio.mean == ratio.low == 0.0 and ratio.high > 0


@pytest.mark.parametrize(
    "groups", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[1.0, 1.0], [2.0, 2.0]], [[math.nan, 1.0], [2.0, 3.0]]]
)
def test_it_is_undefined_without_groups_or_scatter(groups):
    found = one_way(groups)
    assert math.isnan(found.ratio.mean) and math.isnan(found.ratio.low) and math.isnan(found.f)
    assert found.ratio.n == len(groups)

import math
from itertools import product

import numpy as np
import pytest

from transfer_atlas.analysis.bootstrap import over_seeds


def mean_of_cells(means: np.ndarray) -> np.ndarray:
    return means.mean(axis=1)


def test_it_is_the_quantile_over_all_samples_of_seeds():
    values = np.random.default_rng(3).normal(size=(4, 5))
    samples = [values[:, list(sample)].mean(axis=1).mean() for sample in product(range(5), repeat=5)]
    expected = [np.quantile(samples, share, method="inverted_cdf") for share in (0.025, 0.975)]
    assert over_seeds(values.tolist(), mean_of_cells) == pytest.approx(expected)


def test_all_cells_see_the_same_sample():
    # Two cells that always cancel out: their sum does not depend on the seeds.
    assert over_seeds([[1.0, 2.0, 4.0], [-1.0, -2.0, -4.0]], mean_of_cells) == (0.0, 0.0)


@pytest.mark.parametrize("values", [[], [[1.0]], [[0.0] * 11], [[1.0, math.nan]]])
def test_it_is_undefined_with_one_seed_or_too_many(values):
    assert all(map(math.isnan, over_seeds(values, mean_of_cells)))


def test_it_is_undefined_where_the_statistic_is():
    assert all(map(math.isnan, over_seeds([[1.0, 2.0]], lambda means: means[:, 0] * math.nan)))

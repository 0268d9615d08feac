from __future__ import annotations

import numpy as np

from transfer_atlas.probing.transferability.labels import BINS, class_indices, quantile_bins


def test_classes_that_occur_are_numbered_from_0() -> None:
    assert class_indices(np.array([7, 3, 7, 10])).tolist() == [1, 0, 1, 2]


def test_bins_follow_the_order_of_the_scores_and_are_of_a_size() -> None:
    scores = np.random.default_rng(1).gamma(2.0, size=1000)
    bins = quantile_bins(scores)
    assert np.bincount(bins).tolist() == [1000 // BINS] * BINS
    assert (np.diff(bins[np.argsort(scores)]) >= 0).all()


def test_a_score_that_is_a_border_belongs_below() -> None:
    assert quantile_bins(np.array([5.0, 1.0, 2.0, 3.0, 4.0]), bins=2).tolist() == [1, 0, 0, 0, 1]


def test_equal_scores_share_a_bin() -> None:
    scores = np.array([0.0] * 70 + [1.0] * 20 + [5.0] * 10)
    bins = quantile_bins(scores)
    assert len({*zip(bins.tolist(), scores.tolist(), strict=True)}) == 3 >= len(set(bins.tolist())) == bins.max() + 1
    assert quantile_bins(np.full(8, 2.5)).tolist() == [0] * 8


def test_the_unit_of_scores_does_not_matter() -> None:
    scores = np.random.default_rng(2).normal(size=57)
    assert quantile_bins(scores).tolist() == quantile_bins(3 + 100 * scores).tolist()

import numpy as np
import pytest

from transfer_atlas.analysis.constant_answers import better, constant_score, neither_better
from transfer_atlas.training.metrics import score


@pytest.mark.parametrize(
    "counts", [{"a": 3, "b": 7}, {"a": 5, "b": 5}, {"a": 2, "b": 6, "c": 4}, {"a": 4, "b": 1, "c": 0}]
)
@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "matthews"])
def test_it_is_the_score_of_the_best_constant_prediction(metric, counts):
    labels = np.repeat(np.arange(len(counts)), list(counts.values()))
    constant = [score(metric, np.eye(len(counts))[[answer] * len(labels)], labels) for answer in range(len(counts))]
    assert constant_score(metric, counts) == pytest.approx(max(constant))


def test_what_no_constant_answer_has_needs_no_counts():
    assert [constant_score(metric, None) for metric in ("pearson", "spearman", "matthews", "span_f1")] == [0.0] * 4
    assert constant_score("accuracy", None) is None and constant_score("macro_f1", {}) is None


def test_better_is_above_with_the_whole_interval():
    assert better({1: 60.0, 2: 61.0, 3: 60.5}, 55.0)
    assert not better({1: 50.0, 2: 61.0, 3: 55.5}, 55.0)
    assert better({1: 56.0}, 55.0) and not better({1: 55.0}, 55.0)
    assert not better({}, 0.0)
    # A majority share, stored as a share and averaged over seeds.
    assert not better(dict.fromkeys(range(7), 912 / 1821 * 100), 100 * (912 / 1821) - 1e-12)


def test_neither_of_two_sides():
    good, poor = {1: 80.0, 2: 81.0, 3: 80.5}, dict.fromkeys((1, 2, 3), 50.0)
    assert neither_better([poor, poor], 50.0)
    assert not neither_better([good, poor], 50.0) and not neither_better([poor, good], 50.0)


def test_without_a_known_constant_only_equal_scores_say_so():
    same = dict.fromkeys((1, 2, 3), 49.9)
    assert neither_better([same, same], None)
    assert not neither_better([same, {1: 49.9, 2: 49.9, 3: 50.0}], None)
    assert not neither_better([{1: 49.9}, {1: 49.9}], None)

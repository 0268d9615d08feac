import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from transfer_atlas.probing.linear import PENALTIES, probe

CLASSES, SCORES = "sequence_classification", "pair_regression"


def classes(n: int, seed: int, shift: float = 1.0, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian clouds around a mean for each class, in 12 dimensions of very different scales."""
    rng = np.random.default_rng(seed)
    means = np.random.default_rng(99).normal(size=(n_classes, 12))
    labels = rng.integers(0, n_classes, n)
    return (shift * means[labels] + rng.normal(size=(n, 12))) * np.geomspace(0.01, 100, 12) + 5, labels


def test_clear_classes_are_told_apart():
    assert probe(*classes(300, 1, shift=5), *classes(200, 2, shift=5), CLASSES, "accuracy") == 1.0


def test_random_labels_are_not_told_apart():
    (train, labels), (test, truth) = classes(600, 1), classes(600, 2)
    shuffled = np.random.default_rng(3).permutation(labels)
    # Guessing among three gives 1/3 with a standard error of 0.02.
    assert probe(train, shuffled, test, truth, CLASSES, "accuracy") == pytest.approx(1 / 3, abs=0.08)


def test_as_good_as_the_best_penalty_of_scikit_learn():
    (train, labels), (test, truth) = classes(60, 1, shift=0.5), classes(4000, 2, shift=0.5)
    with_penalty = [
        make_pipeline(StandardScaler(), LogisticRegression(C=1 / (penalty * len(labels)), max_iter=5000, tol=1e-8))
        .fit(train, labels)
        .score(test, truth)
        for penalty in PENALTIES
    ]
    found = probe(train, labels, test, truth, CLASSES, "accuracy")
    assert min(abs(found - score) for score in with_penalty) < 0.003
    assert found > max(with_penalty) - 0.03 > min(with_penalty)


def test_scale_of_a_dimension_does_not_matter():
    (train, labels), (test, truth) = classes(200, 1), classes(300, 2)
    scale = np.geomspace(1e-3, 1e3, 12)
    args = CLASSES, "macro_f1"
    assert probe(train, labels, test, truth, *args) == probe(train * scale, labels, test * scale, truth, *args)


def test_a_class_that_train_lacks_is_only_never_chosen():
    (train, labels), (test, truth) = classes(300, 1, shift=5), classes(300, 2, shift=5)
    seen = labels != 1
    found = probe(train[seen], labels[seen], test, truth, CLASSES, "accuracy")
    assert found == pytest.approx((truth != 1).mean())


def test_one_class_is_always_chosen():
    states, truth = classes(100, 2)
    found = probe(states, np.full(100, 2), states, truth, CLASSES, "accuracy")
    assert found == (truth == 2).mean()


def test_dimensions_that_never_change_do_no_harm():
    (train, labels), (test, truth) = classes(200, 1), classes(300, 2)
    constant = np.full((200, 3), 7.3, dtype=np.float32), np.full((300, 3), -1.0, dtype=np.float32)
    wider = probe(np.hstack([train, constant[0]]), labels, np.hstack([test, constant[1]]), truth, CLASSES, "accuracy")
    assert wider == probe(train, labels, test, truth, CLASSES, "accuracy")


def scores(n: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(n, 8))
    return states * np.geomspace(0.01, 100, 8), states @ np.arange(8.0) + noise * rng.normal(size=n) + 3


def test_scores_are_read_like_ridge_regression_does():
    (train, labels), (test, truth) = scores(30, 1, noise=15), scores(2000, 2, noise=15)
    standard = StandardScaler().fit(train)
    correlations = [
        np.corrcoef(Ridge(penalty * 30).fit(standard.transform(train), labels).predict(standard.transform(test)), truth)
        for penalty in PENALTIES
    ]
    found = probe(train, labels, test, truth, SCORES, "pearson")
    assert min(abs(found - matrix[0, 1]) for matrix in correlations) < 1e-9


@pytest.mark.parametrize(("noise", "best"), [(6.0, 0), (0.0, -1)])
def test_the_penalty_follows_the_data(monkeypatch: pytest.MonkeyPatch, noise: float, best: int):
    """As many dimensions as examples: with noise a strong penalty is best, without it a weak one."""
    weights = np.random.default_rng(0).normal(size=100)

    def side(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        states = rng.normal(size=(n, 100))
        return states, states @ weights + noise * rng.normal(size=n)

    found = [probe(*side(125, 1), *side(2000, 2), SCORES, "pearson")]
    for penalty in PENALTIES:
        monkeypatch.setattr("transfer_atlas.probing.linear.PENALTIES", (penalty,))
        found.append(probe(*side(125, 1), *side(2000, 2), SCORES, "pearson"))
    chosen, *alone = found
    assert max(alone) == alone[best] == chosen
    assert max(alone) > min(alone) + 0.05


def test_exact_scores():
    assert probe(*scores(200, 1, noise=0), *scores(100, 2, noise=0), SCORES, "spearman") > 0.999


def test_more_dimensions_than_examples():
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(20, 50)), rng.normal(size=(400, 50))
    assert abs(probe(train, rng.normal(size=20), test, rng.normal(size=400), SCORES, "pearson")) < 0.2


@pytest.mark.parametrize("n", [2, 3, 4])
def test_very_few_examples(n: int):
    states, labels = classes(50, 1, shift=5, n_classes=2)
    assert 0 <= probe(states[:n], labels[:n], states, labels, CLASSES, "accuracy") <= 1


@pytest.mark.parametrize(
    ("task_type", "metric"), [("token_labelling", "span_f1"), (CLASSES, "pearson"), (SCORES, "accuracy")]
)
def test_metrics_that_it_cannot_score(task_type: str, metric: str):
    with pytest.raises(ValueError, match=f"{task_type} has no {metric}"):
        probe(*classes(20, 1), *classes(20, 2), task_type, metric)


def test_one_example_is_too_few():
    with pytest.raises(ValueError, match="at least 2 train examples, not 1"):
        probe(*classes(1, 1), *classes(20, 2), CLASSES, "accuracy")

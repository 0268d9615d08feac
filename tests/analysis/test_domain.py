import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from transfer_atlas.analysis import domain
from transfer_atlas.analysis.domain import correlate, correlations, divergence, divergence_of_counts, gains, term_counts


def test_terms_are_words_without_case_and_punctuation():
    assert term_counts(["The CAFÉ, the Cafe\u0301!", "ﬁne — don't 42"]) == Counter(
        {"the": 2, "café": 2, "fine": 1, "don": 1, "t": 1, "42": 1}
    )


def test_marks_stay_in_their_words():
    assert term_counts(["हिन्दी भाषा"]) == Counter({"हिन्दी": 1, "भाषा": 1})


def test_divergence_by_hand():
    # Shares (1/2, 1/2, 0) and (1/2, 0, 1/2): each has half of its mass where the other has none.
    assert divergence(["a b"], ["a c"]) == pytest.approx(0.5)


def test_divergence_of_equal_and_of_foreign_texts():
    assert divergence(["one two two"], ["Two one, two!", "two one two"]) == pytest.approx(0, abs=1e-12)
    assert divergence(["one two"], ["three four"]) == pytest.approx(1)


def test_divergence_against_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.integers(1, 50, (2, 300))
    found = divergence_of_counts(*({f"w{i}": int(c) for i, c in enumerate(side)} for side in (first, second)))
    assert found == pytest.approx(jensenshannon(first, second, base=2) ** 2)


def test_divergence_is_symmetric_and_knows_no_order_of_texts():
    first, second = ["a b c", "d e", "a"], ["b b", "f a"]
    assert divergence(first, second) == divergence(second[::-1], first[::-1])


def test_only_the_most_frequent_terms_count(monkeypatch: pytest.MonkeyPatch):
    first, second = Counter(a=8, b=2, rare=1), Counter(a=2, b=8, other=1)
    together = divergence_of_counts(first, second)
    monkeypatch.setattr(domain, "VOCABULARY", 2)
    assert divergence_of_counts(first, second) == pytest.approx(jensenshannon([8, 2], [2, 8], base=2) ** 2)
    assert divergence_of_counts(first, second) < together
    # Of equally frequent terms the first in the alphabet is kept, whichever was read first.
    monkeypatch.setattr(domain, "VOCABULARY", 1)
    assert divergence_of_counts(Counter(b=1, a=1), Counter(b=1, a=1)) == 0


@pytest.mark.parametrize("nothing", [[], ["?!", " "]])
def test_no_words_have_no_divergence(nothing: list[str]):
    assert math.isnan(divergence(nothing, ["a b"]))


def test_divergence_and_gain_are_correlated_by_pearsons_r():
    x, y = [0.1, 0.2, 0.3, 0.5, 0.9], [1.0, 0.4, 0.5, 0.1, -0.6]
    found = correlate(x, y)
    assert (found.r, found.n) == (pytest.approx(stats.pearsonr(x, y).statistic), 5)
    assert found.p == pytest.approx(2 / 120)


JSD = {"travel": 0.3, "fiction": 0.1, "slate": 0.2}


def scored(gain: dict[str, float], seeds: int = 3, **place: object) -> pd.DataFrame:
    """Extraction scores 0.5 + seed / 100; fine-tuning the group's gain more, and seed / 1000."""
    return pd.DataFrame(
        {**place, "recipe": recipe, "seed": seed, "group": group, "score": 0.5 + seed / 100 + more}
        for group, value in gain.items()
        for seed in range(seeds)
        for recipe, more in (("extract", 0.0), ("finetune", value + seed / 1000), ("other", 9.0))
    )


def test_gain_of_each_group_over_paired_seeds():
    table = gains(
        scored({"travel": 0.1, "fiction": 0.3, "slate": 0.2}, model="m", task="t"), JSD, "finetune", "extract"
    )
    assert list(table.columns) == ["model", "task", *domain.GAINS]
    assert table["group"].tolist() == ["fiction", "slate", "travel"]  # by divergence
    assert table["jsd"].tolist() == [0.1, 0.2, 0.3]
    assert table["gain"].tolist() == pytest.approx([0.301, 0.201, 0.101])
    assert table["gain_n"].tolist() == [3, 3, 3]
    half = 4.302653 * 0.001 / math.sqrt(3)
    assert table["gain_low"].tolist() == pytest.approx([0.301 - half, 0.201 - half, 0.101 - half], abs=1e-8)


def test_correlations_are_one_for_each_cell():
    both = pd.concat(
        [
            scored({"travel": 0.1, "fiction": 0.3, "slate": 0.2}, model="a", size=100),
            scored({"travel": 0.1, "fiction": 0.1, "slate": 0.4}, model="b", size=100),
        ]
    )
    table = correlations(gains(both, JSD, "finetune", "extract"))
    assert list(table.columns) == ["model", "size", *domain.CORRELATIONS]
    assert table["model"].tolist() == ["a", "b"] and table["groups"].tolist() == [3, 3]
    assert table["r"].tolist() == pytest.approx([-1.0, 0.0], abs=1e-9)
    assert table["p"].tolist() == pytest.approx([1 / 3, 1.0])


def test_a_group_that_one_side_lacks_has_no_gain():
    table = scored({"travel": 0.1, "fiction": 0.3})
    table = table[(table["group"] != "travel") | (table["recipe"] != "extract")]
    assert gains(table, JSD, "finetune", "extract")["group"].tolist() == ["fiction"]


def test_nothing_was_run():
    empty = gains(scored({}, seeds=0).reindex(columns=["model", "recipe", "seed", "group", "score"]), JSD, "f", "e")
    assert list(empty.columns) == ["model", *domain.GAINS] and empty.empty
    assert correlations(empty).empty

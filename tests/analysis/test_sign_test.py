import math

import pytest
from scipy import stats

from transfer_atlas.analysis.sign_test import sign_test


def test_losses_and_wins_with_the_exact_interval_of_their_share():
    found = sign_test([-0.2, -0.1, -0.3, 0.1, 0.005, -0.01], tie=0.01)
    assert (found.losses, found.wins, found.ties, found.share) == (3, 1, 2, 0.75)
    # 2.5 % of the probability lie beyond each end; of four, 0, 1, 3 and 4 are as far from half as 3.
    assert stats.binom.sf(2, 4, found.low) == pytest.approx(0.025)
    assert stats.binom.cdf(3, 4, found.high) == pytest.approx(0.025)
    assert found.p == pytest.approx((1 + 4 + 4 + 1) / 16)


@pytest.mark.parametrize("differences", [[], [0.0, 0.0]])
def test_ties_alone_have_no_share(differences):
    found = sign_test(differences, tie=0.0)
    assert (found.losses, found.wins, found.ties) == (0, 0, len(differences))
    assert all(math.isnan(value) for value in (found.share, found.low, found.high, found.p))


def test_an_undefined_difference_is_no_tie():
    with pytest.raises(ValueError, match="undefined"):
        sign_test([0.1, math.nan], tie=0.0)

import math

import pytest

from transfer_atlas.analysis.claims.claim import (
    COLUMNS,
    NO_ESTIMATE,
    Bound,
    Claim,
    bounded,
    conjunction,
    table,
    whole,
    why_undefined,
)
from transfer_atlas.analysis.intervals import Estimate


def found(low: float, high: float, n: int = 5) -> Estimate:
    return Estimate((low + high) / 2, 1.0, n, low, high)


CLAIM = Claim("X1", "paper", "it is so", "not run", "nowhere")


@pytest.mark.parametrize(
    ("bound", "low", "high", "verdict"),
    [
        (Bound(-1, 1), -0.9, 0.9, "supported"),
        (Bound(-1, 1), -1.0, 1.0, "supported"),
        (Bound(-1, 1), -0.9, 1.1, "inconclusive"),
        (Bound(-1, 1), -2.0, 2.0, "inconclusive"),
        (Bound(-1, 1), 1.1, 2.0, "contradicted"),
        (Bound(-1, 1), -2.0, -1.1, "contradicted"),
        (Bound(low=2), 2.0, 4.0, "supported"),
        (Bound(low=2), 1.0, 2.0, "inconclusive"),
        (Bound(low=2), 1.0, 1.9, "contradicted"),
        (Bound(low=2, open=True), 2.0, 4.0, "inconclusive"),
        (Bound(low=2, open=True), 1.0, 2.0, "contradicted"),
        (Bound(high=0, open=True), -1.0, -0.1, "supported"),
        (Bound(high=0, open=True), 0.0, 1.0, "contradicted"),
    ],
)
def test_the_rule(bound, low, high, verdict):
    assert bound.judge(found(low, high)) == verdict


def test_without_an_interval_nothing_is_decided():
    assert Bound(low=0).judge(Estimate(5.0, math.nan, 1, math.nan, math.nan)) == "inconclusive"
    one_seed = bounded(CLAIM, Estimate(5.0, math.nan, 1, math.nan, math.nan), Bound(low=0))
    assert (one_seed.verdict, one_seed.note) == ("inconclusive", "one seed: no interval")
    undefined = bounded(CLAIM, Estimate(*[math.nan] * 2, 3, *[math.nan] * 2), Bound(low=0))
    assert (undefined.verdict, undefined.note) == ("inconclusive", "a score is undefined")
    assert bounded(CLAIM, NO_ESTIMATE, Bound(low=0)).verdict == "not run"
    assert bounded(CLAIM, Estimate(5.0, math.nan, 3, math.nan, math.nan), Bound(low=0)).note == "no interval"


def test_an_undefined_estimate_says_why():
    none = Estimate(*[math.nan] * 2, 3, *[math.nan] * 2)
    assert bounded(CLAIM, none, Bound(low=0), why_undefined([1.0, 1.0], "flat")).note == "flat"
    assert bounded(CLAIM, none, Bound(low=0), why_undefined([1.0, math.nan], "flat")).note == "a score is undefined"


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["supported", "not run"], "inconclusive"),
        (["inconclusive", "contradicted", "not run"], "contradicted"),
        (["not run", "not run"], "not run"),
    ],
)
def test_parts_together(verdicts, verdict):
    assert conjunction(verdicts) == verdict


def test_bounds_are_told():
    bounds = [Bound(-1, 1), Bound(0, 2), Bound(low=3, open=True), Bound(low=2), Bound(high=0), Bound(high=0, open=True)]
    assert [str(bound) for bound in bounds] == ["between ±1", "0 to 2", "> 3", "≥ 2", "≤ 0", "< 0"]


def test_a_claim_with_parts_is_followed_by_them():
    parts = [bounded(Claim(**{**CLAIM.__dict__, "part": name}), found(1, 2), Bound(low=0)) for name in ("a", "b")]
    made = table([whole(CLAIM, parts), CLAIM])
    assert list(made.columns) == list(COLUMNS)
    assert made[["claim", "part", "verdict"]].values.tolist() == [
        ["X1", "all", "supported"],
        ["X1", "a", "supported"],
        ["X1", "b", "supported"],
        ["X1", "all", "not run"],
    ]
    assert math.isnan(made["estimate"][0]) and made["estimate"][1] == 1.5
    assert made["note"][0] == "2 parts: 2 supported"


def test_a_claim_of_one_part_is_that_part():
    (row,) = table([whole(CLAIM, [bounded(CLAIM, found(1, 2), Bound(low=0))])]).to_dict("records")
    assert (row["part"], row["estimate"], row["bound"]) == ("all", 1.5, "≥ 0")


def test_an_empty_table_has_its_columns():
    assert list(table([]).columns) == list(COLUMNS)

"""What a claim is, and the one rule by which all are judged.

A bound is *supported* when the whole 95 % interval lies within it, *contradicted* when the whole interval lies outside,
and *inconclusive* otherwise, without an interval (fewer than two seeds) always. A claim of several parts is
contradicted when any part is, supported when all parts are, *not run* when none was run, and inconclusive otherwise; so
is a mean over tasks of which one was not run. Where neither side of a comparison is better than a constant answer
(`analysis.constant_answers`) nothing is decided. Intervals are not corrected for the number of claims.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd

from transfer_atlas.analysis.intervals import NAN, Estimate

Verdict = Literal["supported", "contradicted", "inconclusive", "not run"]

NO_ESTIMATE = Estimate(NAN, NAN, 0, NAN, NAN)
WHOLE = "all"
POINTS = "points"
UNDEFINED = "a score is undefined"
NO_SCATTER = "no scatter over seeds: the interval says nothing about other examples"

COLUMNS = {
    "paper": "str",
    "claim": "str",
    "part": "str",
    "statement": "str",
    "verdict": "str",
    "models": "str",
    "tasks": "str",
    "stand_ins": "str",
    "recipes": "str",
    "n_train": "Int64",
    "n": "Int64",
    "estimate": "float64",
    "low": "float64",
    "high": "float64",
    "unit": "str",
    "controls": "str",
    "bound": "str",
    "threshold": "str",
    "published": "float64",
    "published_verified": "boolean",
    "note": "str",
}


@dataclass(frozen=True)
class Bound:
    """From `low` to `high`; `open` leaves both ends out."""

    low: float = -math.inf
    high: float = math.inf
    open: bool = False

    def __str__(self) -> str:
        at_least, at_most = (">", "<") if self.open else ("≥", "≤")
        if self.low == -self.high:
            return f"between ±{self.high:g}"
        if math.isinf(self.high):
            return f"{at_least} {self.low:g}"
        if math.isinf(self.low):
            return f"{at_most} {self.high:g}"
        return f"{self.low:g} to {self.high:g}"

    def judge(self, found: Estimate) -> Verdict:
        """What an estimate with its interval says about the bound."""
        if found.n < 2 or math.isnan(found.low):
            return "inconclusive"
        if self.open:
            inside = self.low < found.low and found.high < self.high
            outside = found.high <= self.low or self.high <= found.low
        else:
            inside = self.low <= found.low and found.high <= self.high
            outside = found.high < self.low or self.high < found.low
        return "supported" if inside else "contradicted" if outside else "inconclusive"


@dataclass(frozen=True)
class Claim:
    """A statement with what came out."""

    id: str
    paper: str
    statement: str
    """In the paper's terms."""
    verdict: Verdict
    threshold: str
    """Where the bound comes from."""
    part: str = WHOLE
    """Which part of the claim; `all` for the claim itself."""
    bound: str = ""
    estimate: Estimate = NO_ESTIMATE
    unit: str = POINTS
    """Of estimate and bound. Points are scores times 100."""
    controls: str = ""
    """What random labels or states give instead."""
    published: float | None = None
    published_verified: bool | None = None
    models: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    n_train: int | None = None
    note: str = ""
    stand_ins: tuple[str, ...] = ()
    """`entry for the paper's name` for each model and task that only stands in."""
    parts: tuple[Claim, ...] = ()

    def noted(self, note: str) -> Claim:
        """The claim with one more note."""
        return replace(self, note="; ".join(filter(None, [self.note, note])))


def conjunction(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on several statements that are claimed together."""
    if all(verdict == "not run" for verdict in verdicts):
        return "not run"
    if "contradicted" in verdicts:
        return "contradicted"
    return "supported" if all(verdict == "supported" for verdict in verdicts) else "inconclusive"


def bounded(claim: Claim, found: Estimate, bound: Bound, undefined: str = UNDEFINED) -> Claim:
    """`claim` with an estimate and what it says about the bound; not run without any value.

    Args:
        undefined: why an estimate that is undefined is so.
    """
    if found.n == 0:
        return replace(claim, verdict="not run", bound=str(bound))
    note = ""
    if found.n == 1:
        note = "one seed: no interval"
    elif math.isnan(found.mean):
        note = undefined
    elif math.isnan(found.low):
        note = "no interval"
    elif found.sd == 0:
        note = NO_SCATTER
    return replace(claim, verdict=bound.judge(found), estimate=found, bound=str(bound)).noted(note)


def why_undefined(scores: Iterable[float], otherwise: str) -> str:
    """Why nothing can be estimated from these scores: one of them is undefined, or else what is said of them."""
    return otherwise if all(map(math.isfinite, scores)) else UNDEFINED


def undecided(claim: Claim, reason: str) -> Claim:
    """`claim` with its estimate, of which nothing follows."""
    return replace(claim, verdict="inconclusive").noted(reason)


def whole(claim: Claim, parts: Sequence[Claim]) -> Claim:
    """`claim` with the verdict of its parts, and with what they were run on; a single part is the claim itself."""
    run = [part for part in parts if part.verdict != "not run"]

    def used(field: str) -> tuple[str, ...]:
        """What the parts that were run have in a field, in the claim's order first; else what the claim has."""
        names = dict.fromkeys(name for part in run for name in getattr(part, field))
        first = [name for name in getattr(claim, field) if name in names or not run]
        return tuple(dict.fromkeys([*first, *names]))

    sizes = {part.n_train for part in run}
    made = replace(
        claim,
        verdict=conjunction([part.verdict for part in parts]),
        models=used("models"),
        tasks=used("tasks"),
        recipes=used("recipes"),
        stand_ins=used("stand_ins"),
        n_train=sizes.pop() if len(sizes) == 1 else None,
        estimate=replace(NO_ESTIMATE, n=min((part.estimate.n for part in run), default=0)),
        parts=tuple(parts),
    )
    if len(parts) > 1:
        return made.noted(_counted(parts))
    (only,) = parts
    return replace(
        made,
        estimate=only.estimate,
        unit=only.unit,
        controls=only.controls,
        bound=only.bound,
        published=only.published,
        published_verified=only.published_verified,
        parts=(),
    ).noted(only.note)


def table(claims: Sequence[Claim]) -> pd.DataFrame:
    """One row a claim, followed by one for each of its parts."""
    rows = [_row(each) for claim in claims for each in (claim, *claim.parts)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _row(claim: Claim) -> dict[str, Any]:
    found = claim.estimate
    return {
        "paper": claim.paper,
        "claim": claim.id,
        "part": claim.part,
        "statement": claim.statement,
        "verdict": claim.verdict,
        "models": ", ".join(claim.models),
        "tasks": ", ".join(claim.tasks),
        "stand_ins": "; ".join(claim.stand_ins),
        "recipes": ", ".join(claim.recipes),
        "n_train": pd.NA if claim.n_train is None else claim.n_train,
        "n": found.n,
        "estimate": found.mean,
        "low": found.low,
        "high": found.high,
        "unit": claim.unit,
        "controls": claim.controls,
        "bound": claim.bound,
        "threshold": claim.threshold,
        "published": NAN if claim.published is None else claim.published,
        "published_verified": pd.NA if claim.published_verified is None else claim.published_verified,
        "note": claim.note,
    }


def _counted(parts: Sequence[Claim]) -> str:
    verdicts = [part.verdict for part in parts]
    told = [f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts)]
    return f"{len(parts)} parts: {', '.join(told)}"

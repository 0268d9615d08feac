"""K15: whether the conclusions survive the scale of new weights that the paper describes.

K1 to K7 are judged again part by part (a task at a train size) with either scale, on what was run with both: the same
places, depths and seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from transfer_atlas.analysis.ablations.selection import differing
from transfer_atlas.analysis.claims.claim import NO_ESTIMATE, WHOLE, Bound, Claim, Verdict, whole
from transfer_atlas.analysis.claims.tamkin2020 import curves, probing
from transfer_atlas.analysis.claims.tamkin2020.subject import TASKS, Size, Stage, Subject, part_of, progressive
from transfer_atlas.analysis.claims.tamkin2020.variants import mean_difference, named
from transfer_atlas.settings import Surgery

NO_DIFFERENCE = Bound(-1, 1)
JUDGED_AGAIN = (curves.k1, curves.k2, curves.k3, curves.k4, curves.k5, curves.k6, probing.k7)


@dataclass(frozen=True)
class Outcome:
    """What comes of a part under both schemes, and what that says of its surviving the change."""

    told: str
    verdict: Verdict


HOLDS = Outcome("hold under both", "supported")
FAILS = Outcome("fail under both", "inconclusive")
TURNS = Outcome("turn over", "contradicted")
OPEN = Outcome("undecided", "inconclusive")
NOT_RUN = Outcome("not run", "not run")
OUTCOMES: dict[tuple[Verdict, Verdict], Outcome] = {
    ("supported", "supported"): HOLDS,
    ("contradicted", "contradicted"): FAILS,
    ("supported", "contradicted"): TURNS,
    ("contradicted", "supported"): TURNS,
    ("not run", "not run"): NOT_RUN,
}

Compared = tuple[Outcome, Claim]
"""A part of K15 about a part of another claim."""


def k15(subject: Subject) -> Claim:
    """Does all this survive the initialisation that the paper describes?"""
    names = initialisations(subject)
    claim = subject.claim(
        "K15",
        "K1 to K7 hold with new weights on the scale that the paper describes (truncated_normal) as with those of the "
        "released code (authors_code, 38 times smaller)",
        "new: the authors did not test this; at least one part of K1 to K7 (a task at a train size) holds under both, "
        "and none turns over. Mean differences stand beside and decide nothing; within 1 point is none (ours)",
        None,
    )
    if names is None:
        return claim
    subject = replace(subject, known=subject.known.shared_by(*names))
    again = [_again(claim, judge, subject, names) for judge in JUDGED_AGAIN]
    compared = [(outcome, replace(part, part=_full_name(of, part))) for of, parts in again for outcome, part in parts]
    parts = [_of_claim(claim, of, parts) for of, parts in again]
    made = whole(claim, [*parts, *_mean_differences(claim, subject, names)])
    made = replace(made, verdict=_survival([outcome for outcome, _ in compared]), note="")
    made = made.noted(f"of {len(compared)} parts of K1 to K7, {_tally(compared)}")
    entries = [subject.known.surgeries[name] for name in names]
    others = [f"{key} {getattr(entries[1], key)} for {getattr(entries[0], key)}" for key in _besides_init(*entries)]
    return made.noted(f"{names[1]} against {names[0]} also differ in {', '.join(others)}") if others else made


def initialisations(subject: Subject) -> tuple[str, str] | None:
    """The progressive surgeries of both scales, authors_code and what is otherwise like it; None without either."""
    names = [] if subject.model is None else progressive(subject.known, subject.model)
    entries = {name: subject.known.surgeries[name] for name in names}
    usual = [name for name in names if entries[name].rate_factor == 1]
    small = [name for name in usual if entries[name].init == "authors_code"]
    wide = [name for name in usual if entries[name].init == "truncated_normal"]
    if not small or not wide:
        return None
    authors = min(small, key=lambda name: name != subject.progressive)
    return authors, min(wide, key=lambda name: bool(_besides_init(entries[authors], entries[name])))


def _again(
    claim: Claim, judge: Callable[[Subject], Claim], subject: Subject, names: Sequence[str]
) -> tuple[str, list[Compared]]:
    """The other claim's name, and each of its parts under both schemes."""
    one, other = (judge(replace(subject, progressive=name)) for name in names)
    sides = zip(one.parts or (one,), other.parts or (other,), strict=True)
    return one.id, [_compared(claim, *both) for both in sides]


def _compared(claim: Claim, one: Claim, other: Claim) -> Compared:
    outcome = OUTCOMES.get((one.verdict, other.verdict), OPEN)
    part = replace(
        claim,
        part=one.part,
        verdict=outcome.verdict,
        bound=HOLDS.told,
        estimate=replace(NO_ESTIMATE, n=min(one.estimate.n, other.estimate.n)),
        tasks=one.tasks,
        recipes=one.recipes,
        n_train=one.n_train,
        stand_ins=one.stand_ins,
        note=f"{one.verdict} under authors_code, {other.verdict} under truncated_normal",
    )
    return outcome, part


def _of_claim(claim: Claim, of: str, compared: Sequence[Compared]) -> Claim:
    """A part: what becomes of another claim."""
    made = whole(replace(claim, part=of, bound=HOLDS.told), [part for _, part in compared])
    return made if len(compared) == 1 else replace(made, note=_tally(compared))


def _tally(compared: Sequence[Compared]) -> str:
    """How many have which outcome; those that fail or turn over by name."""
    told = []
    for outcome in (HOLDS, FAILS, TURNS, OPEN, NOT_RUN):
        names = [part.part for found, part in compared if found is outcome]
        listed = f" ({'; '.join(names)})" if names and outcome in (FAILS, TURNS) else ""
        if names or outcome is not NOT_RUN:
            told.append(f"{len(names)} {outcome.told}{listed}")
    return ", ".join(told)


def _survival(outcomes: Sequence[Outcome]) -> Verdict:
    """One that turns over is enough against it; without one that holds there is nothing to survive."""
    if TURNS in outcomes:
        return "contradicted"
    if HOLDS in outcomes:
        return "supported"
    return "not run" if all(outcome is NOT_RUN for outcome in outcomes) else "inconclusive"


def _mean_differences(claim: Claim, subject: Subject, names: Sequence[str]) -> list[Claim]:
    """Parts: truncated_normal minus authors_code at each task and train size, once where one size plays two."""
    parts: list[Claim] = []
    for task in TASKS:
        for size in (Size.SMALL, Size.MIDDLE, Size.LARGE):
            told = named("mean over depths", names)
            asked = part_of(claim, subject, task, [size], names, _no_difference, NO_DIFFERENCE, told)
            places = [(part.tasks, part.n_train) for part in parts if part.verdict != "not run"]
            parts += [part for part in asked if (part.tasks, part.n_train) not in places]
    return parts


def _no_difference(part: Claim, stage: Stage) -> Claim:
    return mean_difference(part, stage, NO_DIFFERENCE, None)


def _full_name(of: str, part: Claim) -> str:
    return of if part.part == WHOLE else f"{of} {part.part}"


def _besides_init(one: Surgery, other: Surgery) -> list[str]:
    return [name for name in differing(one, other) if name != "init"]

"""Claims about comparisons of runs: from contrasts, a bound and the paper's number to a judged claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from transfer_atlas.analysis.claims.claim import UNDEFINED, Bound, Claim, bounded, undecided
from transfer_atlas.analysis.evidence import Arm, Contrast, Evidence, System, mean_by_seed
from transfer_atlas.analysis.intervals import Estimate, estimate
from transfer_atlas.analysis.published import Published

Groups = Mapping[str, Sequence[Contrast]]
"""Contrasts by the paper's name of the task."""
NEITHER_LEARNT = "neither side is clearly better than a constant answer"


def players(evidence: Evidence, *paper_names: str, others: Sequence[str] = ()) -> list[System]:
    """Systems with runs, and of the `others`, that play one of the paper's; nobody if none does: a claim not run."""
    return [system for system in evidence.systems(others) if evidence.paper_name(system) in paper_names] or [()]


def about(claim: Claim, evidence: Evidence, *systems: System) -> Claim:
    """The claim about these systems."""
    models = [model for system in systems for model in system]
    return replace(claim, models=tuple(models), stand_ins=tuple(evidence.stand_ins(models, [])))


def parts_of(
    claim: Claim,
    evidence: Evidence,
    name: str,
    contrasts: Sequence[Contrast],
    bound: Bound,
    published: Published | None,
) -> list[Claim]:
    """A part for each task that plays the paper's; one that was not run where there is none."""
    bare = replace(claim, note="")
    if not contrasts:
        return [with_published(replace(bare, part=name, bound=str(bound)), published)]
    several = len(contrasts) > 1
    return [
        judged(
            replace(bare, part=f"{name} ({contrast.task})" if several else name),
            evidence,
            contrast.by_seed,
            bound,
            [contrast],
            published,
        )
        for contrast in contrasts
    ]


def on_average(claim: Claim, evidence: Evidence, groups: Groups, bound: Bound, published: Published | None) -> Claim:
    """A claim about the mean over tasks, each of which must have been run to decide it."""
    contrasts = together(groups)
    if not contrasts:
        return with_published(replace(claim, bound=str(bound)), published)
    missing = [name for name, group in groups.items() if not group]
    return judged(claim, evidence, mean_of(contrasts), bound, contrasts, published, missing)


def judged(
    claim: Claim,
    evidence: Evidence,
    by_seed: Mapping[int, float],
    bound: Bound,
    contrasts: Sequence[Contrast],
    published: Published | None,
    missing: Sequence[str] = (),
    undefined: str = UNDEFINED,
) -> Claim:
    """The claim judged on the mean over seeds of these comparisons (`judged_on`)."""
    found = estimate(list(by_seed.values()))
    return judged_on(claim, evidence, found, bound, contrasts, published, missing, undefined)


def judged_on(
    claim: Claim,
    evidence: Evidence,
    found: Estimate,
    bound: Bound,
    contrasts: Sequence[Contrast],
    published: Published | None,
    missing: Sequence[str] = (),
    undefined: str = UNDEFINED,
) -> Claim:
    """The claim judged on what came out of these comparisons.

    It cannot be decided without some of its tasks (`missing`), nor where neither side of a comparison learnt anything.
    `undefined` tells why nothing may have come out.
    """
    claim = played_by(claim, evidence, [arm for contrast in contrasts for arm in (contrast.left, contrast.right)])
    if missing:
        claim = claim.noted(f"not decided without {', '.join(missing)}")
    if found.n == 0:
        claim = claim.noted("the two sides have no seed in common")
    made = bounded(beside(claim, evidence, published), found, bound, undefined)
    made = replace(made, verdict="inconclusive") if missing or found.n == 0 else made
    unlearnt = not_learnt(contrasts)
    if not unlearnt:
        return made
    return undecided(made, NEITHER_LEARNT + (f" on {', '.join(unlearnt)}" if len(claim.tasks) > 1 else ""))


def played_by(claim: Claim, evidence: Evidence, arms: Sequence[Arm]) -> Claim:
    """The claim with what it was run on: the entries of these arms, and their train sizes."""
    models, tasks, recipes = (
        tuple(dict.fromkeys(getattr(arm, field) for arm in arms)) for field in ("model", "task", "recipe")
    )
    sizes = sorted({arm.n_train for arm in arms})
    made = replace(
        claim,
        models=models,
        tasks=tasks,
        recipes=recipes,
        n_train=sizes[0] if len(sizes) == 1 else None,
        stand_ins=tuple(evidence.stand_ins(models, tasks)),
    )
    return made.noted(f"{sizes[0]:,} to {sizes[-1]:,} train examples") if len(sizes) > 1 else made


def not_learnt(contrasts: Sequence[Contrast]) -> list[str]:
    """The tasks on which neither side of a comparison learnt anything."""
    return list(dict.fromkeys(contrast.task for contrast in contrasts if contrast.neither_learnt))


def beside(claim: Claim, evidence: Evidence, published: Published | None) -> Claim:
    """The claim about these tasks beside the paper's number, if that is in their metric; else with a note."""
    metrics = {evidence.tasks[task].main_metric for task in claim.tasks}
    if published is not None and published.metric and metrics != {published.metric}:
        return claim.noted(f"in {', '.join(sorted(metrics))}, the paper's number is {published.metric}")
    return with_published(claim, published)


def with_published(claim: Claim, published: Published | None) -> Claim:
    """The claim beside the paper's number."""
    if published is None:
        return claim
    return replace(claim, published=published.value, published_verified=published.verified)


def together(groups: Groups) -> list[Contrast]:
    """All contrasts, task by task."""
    return [contrast for group in groups.values() for contrast in group]


def mean_of(contrasts: Sequence[Contrast]) -> dict[int, float]:
    """The mean over contrasts at each seed."""
    return mean_by_seed([contrast.by_seed for contrast in contrasts])

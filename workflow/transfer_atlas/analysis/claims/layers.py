"""Claims about what each layer knows: from curves of diagnostics to a judged claim."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import pandas as pd

from transfer_atlas.analysis import markdown
from transfer_atlas.analysis.claims.claim import Bound, Claim, bounded, conjunction, undecided, whole
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT, about, players
from transfer_atlas.analysis.diagnostics import Curves, curves
from transfer_atlas.analysis.evidence import POINTS, Evidence
from transfer_atlas.analysis.intervals import Estimate
from transfer_atlas.probing.names import PROBE, RANDOM_LABELS, RANDOM_STATES

# The split on which layers are scored.
VALIDATION = "validation"

Diagnosis = Callable[[str, Curves, float | None], Claim]
"""From the paper's name of a task, its curves and what a constant answer scores to a part of a claim."""


def layer_at(share: float, measured: Sequence[int]) -> int:
    """The layer at this share of the way up."""
    return max(1, round(share * max(measured)))


def points(by_seed: Mapping[int, float]) -> dict[int, float]:
    """Values in points by seed."""
    return {seed: value * POINTS for seed, value in by_seed.items()}


def controls(curves: Curves, layers: Collection[int]) -> str:
    """What the controls give at these layers, over all seeds; empty where none were measured."""
    told = []
    for state in (RANDOM_LABELS, RANDOM_STATES):
        values = [value for layer in layers for value in curves.at(state, layer).values()]
        if values:
            mean, low, high = (markdown.number(value, digits=3) for value in (fmean(values), min(values), max(values)))
            told.append(f"{state}: {mean} on average, {low} to {high}")
    return "; ".join(told)


def at_every_layer(
    claim: Claim,
    by_layer: Mapping[int, Estimate],
    bound: Bound,
    unlearnt: Collection[int] = (),
    called: str = "layer",
) -> Claim:
    """A claim about every layer, with the estimate at the layer that speaks most against it.

    Args:
        unlearnt: layers that decide nothing, because neither side is better than a constant answer.
        called: what notes call a layer.
    """
    each = {layer: bounded(claim, found, bound) for layer, found in by_layer.items()}
    each |= {layer: undecided(each[layer], NEITHER_LEARNT) for layer in unlearnt if each[layer].verdict != "not run"}
    run = {layer: judged for layer, judged in each.items() if judged.verdict != "not run"}
    if not run:
        return replace(claim, bound=str(bound))

    def slack(layer: int) -> float:
        value = by_layer[layer].mean
        return -math.inf if math.isnan(value) else min(value - bound.low, bound.high - value)

    worst = min(run, key=slack)
    verdicts = [judged.verdict for judged in each.values()]
    supporting = f"{verdicts.count('supported')} of {len(verdicts)} {called}s support it"
    told = f"{called} {worst} speaks most against it, {supporting}"
    return replace(run[worst], verdict=conjunction(verdicts)).noted(told)


def diagnosed(
    claim: Claim,
    evidence: Evidence,
    table: pd.DataFrame | None,
    measure: str,
    paper_model: str,
    wanted: Mapping[str, Sequence[Diagnosis]],
) -> list[Claim]:
    """The claim for each system that plays the paper's, with its parts for each of the paper's tasks (`wanted`)."""
    found = []
    for system in players(evidence, paper_model, others=models_in(table)):
        here = about(claim, evidence, system)
        parts: list[Claim] = []
        for name, diagnoses in wanted.items():
            known = {
                (model, task): curve
                for model in system
                for task, curve in curves_of(evidence, table, model, measure, name).items()
            }
            for (model, task), curve in known.items():
                constant = evidence.constant(task, VALIDATION)
                parts += [
                    replace(
                        diagnosis(name, curve, constant),
                        models=(model,),
                        tasks=(task,),
                        recipes=(curve.recipe,),
                        stand_ins=tuple(evidence.stand_ins([model], [task])),
                    )
                    for diagnosis in diagnoses
                ]
            if not known:
                parts.append(replace(here, part=name))
        found.append(whole(here, parts))
    return found


def curves_of(
    evidence: Evidence, table: pd.DataFrame | None, model: str, measure: str, paper_name: str
) -> dict[str, Curves]:
    """The model's curves on each task that is the paper's, else on those that stand in for it."""
    found: dict[str, Curves] = {}
    if table is None:
        return found
    for task, entry in evidence.tasks.items():
        metric = entry.main_metric if measure == PROBE else None
        if entry.paper_name == paper_name:
            known = curves(table, model, task, measure, metric)
            if known is not None and known.layers:
                found[task] = known
    return {task: found[task] for task in found if not evidence.tasks[task].stand_in} or found


def models_in(table: pd.DataFrame | None) -> list[str]:
    """The models of a table."""
    return [] if table is None else sorted(set(table["model"]))

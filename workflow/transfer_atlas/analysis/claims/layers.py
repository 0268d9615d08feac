"""Claims about what each layer knows: from curves of diagnostics to a judged claim."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from transfer_atlas.analysis.claims.claim import Bound, Claim, bounded, conjunction, whole
from transfer_atlas.analysis.claims.comparisons import about, players
from transfer_atlas.analysis.diagnostics import PROBE, Curves, curves
from transfer_atlas.analysis.evidence import POINTS, Evidence
from transfer_atlas.analysis.intervals import Estimate

Diagnosis = Callable[[str, Curves], Claim]
"""From the paper's name of a task and its curves to a part of a claim."""


def layer_at(share: float, measured: Sequence[int]) -> int:
    """The layer at this share of the way up."""
    return max(1, round(share * max(measured)))


def points(by_seed: Mapping[int, float]) -> list[float]:
    """Values in points, one a seed."""
    return [value * POINTS for value in by_seed.values()]


def at_every_layer(claim: Claim, by_layer: Mapping[int, Estimate], bound: Bound) -> Claim:
    """A claim about every layer, with the estimate at the layer that speaks most against it."""
    each = {layer: bounded(claim, found, bound) for layer, found in by_layer.items()}
    run = {layer: judged for layer, judged in each.items() if judged.verdict != "not run"}
    if not run:
        return replace(claim, bound=str(bound))

    def slack(layer: int) -> float:
        value = by_layer[layer].mean
        return -math.inf if math.isnan(value) else min(value - bound.low, bound.high - value)

    worst = min(run, key=slack)
    verdicts = [judged.verdict for judged in each.values()]
    note = f"smallest at layer {worst}; {verdicts.count('supported')} of {len(verdicts)} layers support it"
    return replace(run[worst], verdict=conjunction(verdicts), note="; ".join(filter(None, [run[worst].note, note])))


def diagnosed(
    claim: Claim,
    evidence: Evidence,
    table: pd.DataFrame | None,
    measure: str,
    paper_model: str,
    wanted: Mapping[str, Sequence[Diagnosis]],
) -> list[Claim]:
    """The claim for each model that plays the paper's, with its parts for each of the paper's tasks (`wanted`)."""
    found = []
    for model in players(evidence, paper_model, others=models_in(table)):
        here = about(claim, evidence, model)
        parts: list[Claim] = []
        for name, diagnoses in wanted.items():
            known = curves_of(evidence, table, model, measure, name)
            for task, curve in known.items():
                parts += [
                    replace(
                        diagnosis(name, curve),
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

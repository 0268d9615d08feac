"""What a training on an intermediate task does to the target's score: with against without, and against as many updates
on the target itself; and what it scores before any training on the target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from transfer_atlas.analysis import intervals
from transfer_atlas.analysis.columns import BEYOND_BUDGET, DIFFERENCE, table
from transfer_atlas.analysis.constant_answers import Counts, constant_score
from transfer_atlas.analysis.samples import Compared, Row, Sample, difference, estimated, grouped, holm, samples
from transfer_atlas.analysis.tables import whole
from transfer_atlas.analysis.transfer import arms
from transfer_atlas.analysis.transfer.pairs import Pairs
from transfer_atlas.plan import NONE, control_of

# What tells one target training from another, whatever came before it.
PLACE = ("model", "task", "recipe", "method", "size", "metric")

# Columns of `gains`.
GAINS = [*PLACE, "intermediate", "family", "setting", "head", "n_train", "seed", "gain"]


@dataclass(frozen=True)
class Effect:
    """One intermediate task before one target: the scores of both sides, and of the control where it was run."""

    place: Row
    after: Sample
    without: Sample
    budget: Sample | None


def effects(main: pd.DataFrame, pairs: Pairs) -> Iterator[Effect]:
    """Every intermediate task whose target was also trained without one, on whole encoders.

    Args:
        main: the runs, of `tables.main_scores`.
        pairs: what kind of transfer they make.
    """
    trained = whole(main)
    trained = trained[~arms.zero_shot(trained)]
    names = list(trained.loc[arms.transferred(trained), "intermediate"].drop_duplicates())
    for found, arm in grouped(trained, PLACE, "intermediate").items():
        if NONE not in arm:
            continue
        target = dict(zip(PLACE, found, strict=True))
        for name in names:
            if name not in arm:
                continue
            place = {
                **target,
                "intermediate": name,
                "family": pairs.family(target["task"]),
                "setting": pairs.setting(name, target["task"]),
                "head": pairs.head(name, target["method"]),
                "n_train": arm[name].n_train,
            }
            yield Effect(place, arm[name], arm[NONE], arm.get(control_of(name)))


def intermediate(main: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """With against without each intermediate task (`difference`), and against its control (`beyond_budget`).

    `main` is of `tables.main_scores`. Each of the two comparisons is a family of its own for Holm's method.
    """
    # All rows of one run tell the same updates.
    steps, steps_before = (dict(zip(main["run"], main[name], strict=True)) for name in ("steps", "steps_before"))
    rows: list[Row] = []
    compared: list[Compared] = []
    controlled: list[Compared] = []
    for effect in effects(main, pairs):
        rows.append(
            {
                **effect.place,
                **estimated(effect.after, "with_"),
                **estimated(effect.without, "without_"),
                **difference(DIFFERENCE, effect.after, effect.without),
                **estimated(effect.budget, "budget_"),
                **difference(BEYOND_BUDGET, effect.after, effect.budget),
                "steps": _mean(steps, effect.after),
                "steps_before": _mean(steps_before, effect.after),
                "budget_steps": math.nan if effect.budget is None else _mean(steps, effect.budget),
            }
        )
        compared.append((effect.after.runs, effect.without.runs))
        controlled.append((effect.after.runs, () if effect.budget is None else effect.budget.runs))
    return table("intermediate", holm(holm(rows, compared), controlled, p="beyond_budget_p"))


def gains(main: pd.DataFrame, pairs: Pairs) -> pd.DataFrame:
    """With minus without each intermediate task at every seed of the target that both have.

    Returns:
        A row for each effect and seed: its `PLACE`, intermediate, family, setting, head, n_train, seed and gain.
    """
    rows = [
        {**effect.place, "seed": seed, "gain": gain}
        for effect in effects(main, pairs)
        for seed, gain in intervals.differences(effect.after.scores, effect.without.scores).items()
    ]
    return pd.DataFrame(rows, columns=GAINS)


def zero_shot(main: pd.DataFrame, pairs: Pairs, label_counts: Mapping[str, Mapping[str, Counts]]) -> pd.DataFrame:
    """What the models after an intermediate task score on a target as they are, with the head they came with.

    Intervals are over seeds of the intermediate training.

    Args:
        main: the runs, of `tables.main_scores`.
        pairs: what kind of transfer they make.
        label_counts: how often each label occurs, by task and split; `constant` is unknown without.
    """
    keys = ["model", "intermediate", "task", "recipe", "metric"]
    rows: list[Row] = []
    for key, sample in samples(arms.repetitions(main[arms.zero_shot(main)]), keys):
        counts = label_counts.get(key["task"], {}).get("test")
        kind = {
            "family": pairs.family(key["task"]),
            "setting": pairs.setting(key["intermediate"], key["task"]),
            "constant": constant_score(key["metric"], counts),
        }
        rows.append({**key, **kind, **estimated(sample)})
    return table("zero_shot", rows)


def _mean(by_run: Mapping[str, int], sample: Sample) -> float:
    return sum(by_run[run] for run in sample.runs) / len(sample.runs)

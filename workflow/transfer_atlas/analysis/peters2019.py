"""The tables of Peters, Ruder & Smith 2019 with our numbers beside the published ones.

Scores are in points (times 100). What speaks for a side, at which size, and which models are one system of the paper,
is said in `analysis.evidence`. In the tables `model` is the model that was run, and the system where none was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from transfer_atlas.analysis.claims.claim import NO_ESTIMATE
from transfer_atlas.analysis.claims.comparisons import players
from transfer_atlas.analysis.claims.layers import models_in
from transfer_atlas.analysis.claims.peters2019 import (
    BERT,
    ELMO,
    NER,
    PAPER,
    SMALL_PAIR_TASKS,
    TASKS,
    extracted_pairs,
    printed,
    unfreezing,
    with_head,
)
from transfer_atlas.analysis.constant_answers import better
from transfer_atlas.analysis.evidence import Arm, Condition, Contrast, Evidence, System, extract, finetune, in_points
from transfer_atlas.analysis.intervals import NAN, Estimate, estimate
from transfer_atlas.analysis.published import Published, find

Row = dict[str, Any]

ARMS: dict[str, Condition] = {"extract": extract, "finetune": finetune}
ESTIMATE = ("mean", "sd", "n", "low", "high")
COLUMNS = {
    "paper_model": "str",
    "system": "str",
    "model": "str",
    "model_stands_in": "boolean",
    "arm": "str",
    "paper_task": "str",
    "task": "str",
    "task_stands_in": "boolean",
    "metric": "str",
    "n_train": "Int64",
    "recipe": "str",
    "mean": "float64",
    "sd": "float64",
    "n": "int64",
    "low": "float64",
    "high": "float64",
    "constant": "float64",
    "learnt": "boolean",
    "published": "float64",
    "published_verified": "boolean",
}
ANALYSIS_COLUMNS = {
    **{name: "str" for name in ("analysis", "table", "setting", "group")},
    **{name: kind for name, kind in COLUMNS.items() if name != "arm"},
}


@dataclass(frozen=True)
class Analysis:
    """One of the paper's smaller tables: settings compared on some tasks."""

    name: str
    table: str
    models: tuple[str, ...]
    printed_for: str
    """The model whose numbers are printed."""
    tasks: tuple[str, ...]
    settings: Mapping[str, Condition]


_CRF, _LSTM = with_head(finetune, "crf"), with_head(finetune, "bilstm_crf")
ANALYSES = (
    Analysis(
        *("pair interaction", "Table 3", (ELMO,), ELMO, SMALL_PAIR_TASKS),
        {
            "finetune, bi-attention": with_head(finetune, "bi_attention"),
            "finetune, no bi-attention": with_head(finetune, "linear"),
        },
    ),
    Analysis(
        *("pair interaction", "Table 4", (BERT,), BERT, SMALL_PAIR_TASKS),
        {"extract, joint": extracted_pairs("joint"), "extract, separate": extracted_pairs("separate")},
    ),
    Analysis(
        *("extra parameters", "Table 5", (ELMO, BERT), ELMO, (NER,)),
        {
            "extract, biLSTM-CRF": with_head(extract, "bilstm_crf"),
            "extract, CRF": with_head(extract, "crf"),
            "finetune, CRF, gradual unfreezing": unfreezing(_CRF, True),
            "finetune, biLSTM-CRF, gradual unfreezing": unfreezing(_LSTM, True),
            "finetune, CRF": unfreezing(_CRF, False),
            "finetune, biLSTM-CRF": unfreezing(_LSTM, False),
        },
    ),
)


def table2(evidence: Evidence) -> pd.DataFrame:
    """The paper's Table 2 in long form: both arms and their difference for each system and task of the paper.

    What no entry of the study plays has a row with the published number alone (n = 0). `constant` is what a constant
    answer scores; `learnt` whether the arm, or at least one of the two of a difference, is better (unknown: empty).
    """
    rows: list[Row] = []
    for paper_model in (ELMO, BERT):
        for system in players(evidence, paper_model):
            for name in TASKS:
                rows += _place(evidence, paper_model, system, name)
    return _table(rows, COLUMNS)


def analyses(evidence: Evidence, domains: pd.DataFrame | None = None) -> pd.DataFrame:
    """The paper's Tables 3 to 6 in long form; `domains` are the gains by group of `analysis.domain`."""
    rows: list[Row] = []
    for analysis in ANALYSES:
        for system in players(evidence, *analysis.models):
            for name in analysis.tasks:
                rows += _compared(evidence, analysis, system, name)
    return _table([*rows, *_genres(evidence, domains)], ANALYSIS_COLUMNS)


def _place(evidence: Evidence, paper_model: str, system: System, name: str) -> list[Row]:
    """The rows of one system on one of the paper's tasks."""
    shared = _who(evidence, paper_model, system)
    numbers = {arm: printed("Table 2", paper_model, name, arm) for arm in (*ARMS, "difference")}
    rows: list[Row] = []
    for contrast in evidence.contrasts(name, (system, finetune), (system, extract)):
        task = {**shared, **_run(evidence, name, contrast.left)}
        both = f"{contrast.left.recipe} minus {contrast.right.recipe}"
        rows += [
            {**task, "arm": "extract", "recipe": contrast.right.recipe, **_scores(contrast.right)},
            {**task, "arm": "finetune", "recipe": contrast.left.recipe, **_scores(contrast.left)},
            {**task, "arm": "difference", "recipe": both, **_fields(contrast.estimate), **_learnt(contrast)},
        ]
    if not rows:
        alone = {arm: _alone(evidence, system, name, condition) for arm, condition in ARMS.items()}
        for arm in numbers:
            rows += [{**shared, **row, "arm": arm} for row in alone.get(arm, [])] or [
                {**shared, "arm": arm, "paper_task": name, **_fields(NO_ESTIMATE)}
            ]
    return [_beside(row, numbers[row["arm"]]) for row in rows]


def _alone(
    evidence: Evidence, system: System, name: str, condition: Condition, n_train: int | None = None
) -> list[Row]:
    """The rows of one side on the paper's own task, else on stand-ins."""
    arms = [
        arm
        for task, entry in evidence.tasks.items()
        if entry.paper_name == name and (arm := evidence.arm(system, task, condition, n_train)) is not None
    ]
    own = [arm for arm in arms if not evidence.tasks[arm.task].stand_in]
    return [{**_run(evidence, name, arm), "recipe": arm.recipe, **_scores(arm)} for arm in own or arms]


def _compared(evidence: Evidence, analysis: Analysis, system: System, name: str) -> list[Row]:
    """The rows of one analysis for a system and a task of the paper, at the largest size that all settings have."""
    paper_model = evidence.paper_name(system) or analysis.printed_for
    common = _common_size(evidence, system, name, list(analysis.settings.values()))
    rows: list[Row] = []
    for setting, condition in analysis.settings.items():
        shared = {
            "analysis": analysis.name,
            "table": analysis.table,
            "setting": setting,
            **_who(evidence, paper_model, system),
        }
        made = _alone(evidence, system, name, condition, common) or [{"paper_task": name, **_fields(NO_ESTIMATE)}]
        number = printed(analysis.table, paper_model, name, setting)
        rows += [_beside({**shared, **row}, number) for row in made]
    return rows


def _common_size(evidence: Evidence, system: System, name: str, conditions: Sequence[Condition]) -> int | None:
    """The largest train size of those settings that were run at all; None where they share none."""
    sizes = [
        {
            n
            for task, entry in evidence.tasks.items()
            if entry.paper_name == name
            for n in evidence.sizes(system, task, of)
        }
        for of in conditions
    ]
    run = [of for of in sizes if of]
    return max(set.intersection(*run), default=None) if run else None


def _genres(evidence: Evidence, domains: pd.DataFrame | None) -> list[Row]:
    """Table 6: divergence of each group from the reference corpus, and what fine-tuning gains there."""
    rows: list[Row] = []
    systems = {model: system for system in evidence.systems(models_in(domains)) for model in system}
    for row in () if domains is None else domains.to_dict("records"):
        paper_model, paper_task = evidence.models[row["model"]].paper_name, evidence.tasks[row["task"]].paper_name
        shared = {
            "analysis": "domain",
            "table": "Table 6",
            **_who(evidence, paper_model or "", systems[row["model"]]),
            "model": row["model"],
            **_what(evidence, paper_task or "", row["task"]),
            "group": str(row["group"]),
            "recipe": f"{row['finetune']} minus {row['extract']}",
        }
        gain = Estimate(*(row[name] for name in ("gain", "gain_sd", "gain_n", "gain_low", "gain_high")))
        divergence = {**_fields(NO_ESTIMATE), "metric": "jensen_shannon", "mean": row["jsd"]}
        for setting, made in (("divergence", divergence), ("difference", _fields(in_points(gain)))):
            number = find(PAPER, "Table 6", paper_model or "", paper_task or "", setting, str(row["group"]))
            rows.append(_beside({**shared, "setting": setting, **made}, number))
    return rows


def system_label(system: str, paper_model: str, labels: Mapping[str, str]) -> str:
    """How a system is called: as its model, or as the paper's if several models make it up or none plays it."""
    return labels.get(system, system) if system and ", " not in system else paper_model


def _who(evidence: Evidence, paper_model: str, system: System) -> Row:
    stands_in = evidence.models[system[0]].stand_in if system else pd.NA
    names = ", ".join(system)
    return {"paper_model": paper_model, "system": names, "model": names, "model_stands_in": stands_in}


def _what(evidence: Evidence, name: str, task: str) -> Row:
    entry = evidence.tasks[task]
    return {"paper_task": name, "task": task, "task_stands_in": entry.stand_in, "metric": entry.main_metric}


def _run(evidence: Evidence, name: str, arm: Arm) -> Row:
    """Of what the arm's runs are."""
    return {
        **_what(evidence, name, arm.task),
        "model": arm.model,
        "n_train": arm.n_train,
        "constant": NAN if arm.constant is None else arm.constant,
    }


def _scores(arm: Arm) -> Row:
    learnt = pd.NA if arm.constant is None else better(arm.test, arm.constant)
    return {**_fields(estimate(list(arm.test.values()))), "learnt": learnt}


def _learnt(contrast: Contrast) -> Row:
    unknown = contrast.left.constant is None and not contrast.neither_learnt
    return {"learnt": pd.NA if unknown else not contrast.neither_learnt}


def _fields(found: Estimate) -> Row:
    return {name: getattr(found, name) for name in ESTIMATE}


def _beside(row: Row, number: Published | None) -> Row:
    """The row with the paper's number, unless ours is in another metric."""
    if number is None or row.get("metric") not in (None, number.metric):
        return row
    return {**row, "metric": number.metric, "published": number.value, "published_verified": number.verified}


def _table(rows: Sequence[Row], columns: Mapping[str, str]) -> pd.DataFrame:
    blank = {name: "" for name, kind in columns.items() if kind == "str"}
    return pd.DataFrame([{**blank, **row} for row in rows], columns=list(columns)).astype(columns)

"""The guidelines of Peters, Ruder & Smith 2019 (their Table 1), judged by a study's own runs.

A guideline is judged by a mean over the tasks that it is about, paired by seed, at the largest train size of each; the
rule of verdicts is that of `analysis.claims.claim`. Where the paper has no guideline for a model, ours stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from transfer_atlas.analysis import markdown
from transfer_atlas.analysis.claims.claim import NO_ESTIMATE, WHOLE, Bound, Claim, bounded, undecided
from transfer_atlas.analysis.claims.comparisons import NEITHER_LEARNT, not_learnt
from transfer_atlas.analysis.claims.peters2019 import BERT, ELMO, MARKED, PAPER, with_head
from transfer_atlas.analysis.evidence import Condition, Contrast, Evidence, System, extract, finetune, mean_by_seed
from transfer_atlas.analysis.intervals import Estimate, estimate

# Heads with hidden layers or LSTMs of their own, and those without.
MANY_PARAMETERS = ("scalar_mix_mlp", "bcn", "esim", "bilstm", "bilstm_crf")
FEW_PARAMETERS = ("linear", "scalar_mix_linear", "bi_attention", "crf")

SINGLE, PAIRS, ANY = "labelling, classification", "sentence pairs", "any"
NO_GUIDELINE = "none in the paper"
NOT_CLEAR = "nothing yet"

COLUMNS = {
    "pretrained": "str",
    "adaptation": "str",
    "tasks_of": "str",
    "guideline": "str",
    "verdict": "str",
    "model": "str",
    "stand_ins": "str",
    "measured": "str",
    "estimate": "float64",
    "low": "float64",
    "high": "float64",
    "n": "int64",
    "ours": "str",
    "tasks": "str",
    "note": "str",
    "claims": "str",
}


@dataclass(frozen=True)
class Guideline:
    """Conditions, the paper's advice under them, and what decides it."""

    pretrained: str
    adaptation: str
    tasks_of: str
    advice: str
    claims: tuple[str, ...]
    """The paper's claims that bear on it."""
    measured: str
    left: Condition
    right: Condition
    bound: Bound
    ours: tuple[str, str]
    """Our advice where the measure is clearly above 0, and clearly below."""

    def concerns(self, evidence: Evidence, system: System) -> bool:
        """Whether it is about this system."""
        return self.pretrained in (ANY, evidence.paper_name(system))

    def about(self, evidence: Evidence, task: str) -> bool:
        """Whether it is about this task."""
        return self.tasks_of == ANY or (self.tasks_of == PAIRS) == evidence.is_pair(task)


_PARAMETERS = "task parameters: many minus few"
_GAIN = "fine-tuning minus extraction"
GUIDELINES = (
    Guideline(
        *(ANY, "extract", ANY, "add many task parameters", ("P10",), _PARAMETERS),
        *(with_head(extract, *MANY_PARAMETERS), with_head(extract, *FEW_PARAMETERS), Bound(low=0, open=True)),
        ("many task parameters", "few task parameters"),
    ),
    Guideline(
        *(ANY, "fine-tune", ANY, "add few task parameters, mind the hyper-parameters", ("P11",), _PARAMETERS),
        *(with_head(finetune, *MANY_PARAMETERS), with_head(finetune, *FEW_PARAMETERS), Bound(high=0)),
        ("many task parameters", "few task parameters"),
    ),
    Guideline(
        *(ANY, ANY, SINGLE, "both are alike", ("P1",), _GAIN),
        *(finetune, extract, Bound(-MARKED, MARKED), ("fine-tune", "extract")),
    ),
    Guideline(
        *(ELMO, ANY, PAIRS, "extract", ("P2", "P6"), _GAIN),
        *(finetune, extract, Bound(high=0, open=True), ("fine-tune", "extract")),
    ),
    Guideline(
        *(BERT, ANY, PAIRS, "fine-tune", ("P3", "P5", "P6"), _GAIN),
        *(finetune, extract, Bound(low=0, open=True), ("fine-tune", "extract")),
    ),
)
# For models that are neither: the same question, without the paper's answer.
PAIRS_OF_OTHERS = Guideline(
    *("other", ANY, PAIRS, NO_GUIDELINE, (), _GAIN), *(finetune, extract, Bound(), ("fine-tune", "extract"))
)


def table(evidence: Evidence, claims: Sequence[Claim]) -> pd.DataFrame:
    """One row for each guideline and system it concerns; `not run` where none does."""
    rows = []
    for guideline in GUIDELINES:
        systems = [system for system in evidence.systems() if guideline.concerns(evidence, system)]
        rows += [_row(guideline, evidence, system, claims) for system in systems or [()]]
    others = [system for system in evidence.systems() if evidence.paper_name(system) not in (ELMO, BERT)]
    rows += [_row(PAIRS_OF_OTHERS, evidence, system, claims) for system in others]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def page(made: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """The table as Markdown; `labels` maps entry names to names to show."""
    rows = []
    for row in made.to_dict("records"):
        told = "not run"
        if row["n"]:
            interval = "no interval"
            if not math.isnan(row["low"]):
                interval = f"95 % interval {_signed(row['low'])} to {_signed(row['high'])}"
            seeds = "1 seed" if row["n"] == 1 else f"{row['n']} seeds"
            told = f"{row['measured']}: {_signed(row['estimate'])} points ({interval}, {seeds}) on {row['tasks']}"
        names = [row[name] for name in ("pretrained", "adaptation", "tasks_of", "guideline")]
        told = "; ".join(filter(None, [told, row["note"]]))
        model = markdown.entries(row["model"], labels)
        rows.append([*names, model, row["verdict"], row["ours"], told, row["claims"]])
    header = ["pretrained", "method", "tasks", "guideline of the paper", "our model", "verdict", "our runs advise"]
    notes = [f"{row['stand_ins']}" for row in made.to_dict("records") if row["stand_ins"]]
    standing = sorted({note for told in notes for note in told.split("; ")})
    parts = [
        "# Guidelines of Peters, Ruder & Smith 2019, by our evidence",
        "Verdicts rest on 95 % t intervals over seeds, paired by seed, at the largest train size; an interval says how "
        "the mean over *these* tasks would come out again, not how other tasks would.",
        _summary(made),
        markdown.table([*header, "evidence", "claims"], rows),
        *([f"Stand-ins: {', '.join(standing)}."] if standing else []),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(made: pd.DataFrame) -> str:
    """How many of the paper's guidelines the runs decide."""
    verdicts = [verdict for verdict in made["verdict"] if verdict]
    decided = [verdict for verdict in ("supported", "contradicted") if verdict in verdicts]
    if decided:
        counts = (f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys((*decided, *verdicts)))
        return f"Of {len(verdicts)} rows with a guideline of the paper: {', '.join(counts)}."
    if set(verdicts) == {"not run"}:
        return "**No guideline was put to the test**: this study holds no comparison that one is about."
    return (
        "**No guideline is decided by these runs**: no interval lies clearly on one side. That is no evidence against "
        "the guidelines, nor for them."
    )


def _row(guideline: Guideline, evidence: Evidence, system: System, claims: Sequence[Claim]) -> dict[str, Any]:
    contrasts = [
        contrast
        for task in evidence.tasks_run(system)
        if guideline.about(evidence, task)
        and (contrast := evidence.contrast(task, (system, guideline.left), (system, guideline.right))) is not None
    ]
    by_seed = mean_by_seed([contrast.by_seed for contrast in contrasts])
    found = estimate(list(by_seed.values())) if by_seed else NO_ESTIMATE
    judged = bounded(Claim("", PAPER, guideline.advice, "not run", ""), found, guideline.bound)
    ours = advice(found, guideline.ours)
    unlearnt = not_learnt(contrasts)
    if unlearnt and found.n:
        judged, ours = undecided(judged, f"{NEITHER_LEARNT} on {', '.join(unlearnt)}"), NOT_CLEAR
    tasks = [contrast.task for contrast in contrasts]
    return {
        "pretrained": guideline.pretrained,
        "adaptation": guideline.adaptation,
        "tasks_of": guideline.tasks_of,
        "guideline": guideline.advice,
        "verdict": "" if guideline.advice == NO_GUIDELINE else judged.verdict,
        "model": ", ".join(system),
        "stand_ins": "; ".join(evidence.stand_ins(system, tasks)),
        "measured": guideline.measured,
        "estimate": found.mean,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "ours": ours,
        "tasks": _told(contrasts),
        "note": judged.note,
        "claims": ", ".join(
            f"{claim.id} {claim.verdict}"
            for claim in claims
            if claim.paper == PAPER
            and claim.id in guideline.claims
            and claim.part == WHOLE
            and set(system) & set(claim.models)
        ),
    }


def advice(found: Estimate, names: tuple[str, str]) -> str:
    """What an estimated difference advises: one of `names`, either of them within a point, or nothing yet."""
    if found.n == 0:
        return "not run"
    if found.n < 2 or math.isnan(found.low):
        return NOT_CLEAR
    if Bound(-MARKED, MARKED).judge(found) == "supported":
        return "either"
    if found.low > 0 or found.high < 0:
        return names[0] if found.low > 0 else names[1]
    return NOT_CLEAR


def _told(contrasts: Sequence[Contrast]) -> str:
    return ", ".join(f"{contrast.task} ({_signed(contrast.estimate.mean)})" for contrast in contrasts)


def _signed(value: float) -> str:
    return "undefined" if math.isnan(value) else markdown.number(value, signed=True)

"""The tables of Peters, Ruder & Smith 2019 as a page to read: our numbers with the published ones beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from transfer_atlas.analysis import claims_page, markdown
from transfer_atlas.analysis.claims.peters2019 import BERT, ELMO, MARKED, PAPER, TASKS
from transfer_atlas.analysis.markdown import DAGGER
from transfer_atlas.analysis.metrics import METRIC_LABELS
from transfer_atlas.analysis.peters2019 import system_label
from transfer_atlas.analysis.published import find

# Where nothing was learnt.
UNLEARNT = "‡"
ARM_LABELS = {"extract": "extract", "finetune": "fine-tune", "difference": "fine-tune − extract"}
# The baseline that the paper quotes.
QUOTED = "Skip-thoughts"

HOW_TO_READ = f"""\
Scores in points: ours as mean ± half of the 95 % t interval over seeds, **the paper's in parentheses**. A difference is
paired by seed, and bold where it is larger than {MARKED:g} (the paper colours those). A side is the recipe with the
best mean score on validation; sizes, recipes and seeds are below. {DAGGER} marks what only stands in for the paper's
model or data: such a number is not comparable with the one beside it. The paper's fine-tuned BERT scores are copied
from Devlin et al. 2018, but for the SICK tasks, and its ELMo difference on SICK-E (−3.3) is not that of its two scores
(−3.0). {UNLEARNT} marks what is not clearly better than a constant answer (the interval reaches its score), and the
difference of two such sides, of which nothing follows."""
FROM_MEMORY = "The paper's numbers in this table are from memory, not verified, and probably on the development set."


CLAIMS = f"""\
Verdicts are about our runs. Where the model or data only stand in ({DAGGER}), they say whether the *stand-in* does as
the paper says of its own; they neither confirm nor refute the paper. Estimates have 95 % intervals over seeds, but for
correlations, which have them over groups. Parts that were run stand below their claim."""
COLUMNS = {"the paper's": claims_page.published, "controls": claims_page.controls}


def page(table2: pd.DataFrame, analyses: pd.DataFrame, claims: pd.DataFrame, labels: Mapping[str, str]) -> str:
    """Markdown of the tables of `analysis.peters2019` and of the claims; `labels` maps entry names to names to show."""
    parts = [
        "# Peters, Ruder & Smith 2019: to tune or not to tune?",
        HOW_TO_READ,
        "## Table 2",
        _scores(table2, labels),
        *_systems(table2, labels),
        *_stand_ins([table2, analyses], labels),
        "## What is behind Table 2",
        _details(table2, labels),
        "## Tables 3 to 6: pair interaction, extra parameters, domain",
        FROM_MEMORY,
        _analyses(analyses, labels),
        "## Claims",
        CLAIMS,
        claims_page.table(claims[claims["paper"] == PAPER], labels, COLUMNS),
    ]
    return "\n\n".join(parts) + "\n"


def _scores(table2: pd.DataFrame, labels: Mapping[str, str]) -> str:
    rows = [[QUOTED, "extract", *(_alone(QUOTED, task) for task in TASKS)]]
    for paper_model in (ELMO, BERT):
        of_paper = table2[table2["paper_model"] == paper_model]
        for system, group in of_paper.groupby("system", sort=False, dropna=False):
            name = system_label(str(system), paper_model, labels) + _dagger(group["model_stands_in"].iloc[0])
            for arm, label in ARM_LABELS.items():
                here = group[group["arm"] == arm].to_dict("records")
                rows.append(
                    [name, label, *(_cell([row for row in here if row["paper_task"] == task]) for task in TASKS)]
                )
    return markdown.table(["model", "method", *TASKS], rows)


def _alone(paper_model: str, task: str) -> str:
    """A published number that nothing of ours is beside."""
    published = find(PAPER, "Table 2", paper_model, task, "extract")
    return "" if published is None else f"({markdown.number(published.value)})"


def _cell(rows: Sequence[Mapping[Any, Any]]) -> str:
    """Our numbers (several where several tasks play the paper's) and the paper's."""
    told = []
    for row in rows:
        signed = _is_difference(row)
        score = markdown.points(row["mean"], row["low"], row["high"], row["n"], signed)
        learnt = pd.isna(row["learnt"]) or row["learnt"]
        if signed and learnt and row["n"] and abs(row["mean"]) > MARKED:
            score = f"**{score}**"
        told.append(score + _dagger(row["task_stands_in"]) + ("" if learnt else UNLEARNT))
    published = [
        f"({markdown.number(row['published'], row.get('arm') == 'difference')})"
        for row in rows[:1]
        if not pd.isna(row["published"])
    ]
    return " ".join([", ".join(told), *published])


def _is_difference(row: Mapping[Any, Any]) -> bool:
    return "difference" in (row.get("arm"), row.get("setting"))


def _entry(row: Mapping[Any, Any] | pd.Series, kind: str, labels: Mapping[str, str]) -> str:
    """The name to show of a row's model or task, with a dagger if it stands in; empty where nothing plays it."""
    name = row[kind]
    return markdown.entries(name, labels) + _dagger(row[f"{kind}_stands_in"]) if name else ""


def _dagger(stands_in: Any) -> str:
    return DAGGER if not pd.isna(stands_in) and stands_in else ""


def _systems(table2: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """Which model did what, where several make up one of the paper's."""
    told: list[str] = []
    run = table2[(table2["n"] > 0) & (table2["system"] != table2["model"])]
    for (paper_model, _), group in run.groupby(["paper_model", "system"], sort=False):
        did = [
            f"{labels.get(str(model), str(model))} on {', '.join(dict.fromkeys(rows['paper_task']))}"
            for model, rows in group.groupby("model", sort=False)
        ]
        told.append(f"{paper_model} is {'; '.join(did)}.")
    return told


def _stand_ins(tables: Sequence[pd.DataFrame], labels: Mapping[str, str]) -> list[str]:
    """What stands in for what, as a footnote."""
    found: dict[str, None] = {}
    for kind in ("model", "task"):
        for table in tables:
            for row in table[table[f"{kind}_stands_in"].fillna(False)].to_dict("records"):
                if row["n"] and row[f"paper_{kind}"]:
                    found[f"{labels.get(row[kind], row[kind])} for {row[f'paper_{kind}']}"] = None
    return [f"{DAGGER} stands in: {'; '.join(found)}."] if found else []


def _details(table2: pd.DataFrame, labels: Mapping[str, str]) -> str:
    rows = [
        [
            _entry(row, "model", labels),
            f"{_entry(row, 'task', labels)} ({row['paper_task']})",
            METRIC_LABELS.get(row["metric"], row["metric"]),
            ARM_LABELS[row["arm"]],
            labels.get(row["recipe"], row["recipe"]),
            f"{row['n_train']:,}",
            str(row["n"]),
        ]
        for row in table2[(table2["n"] > 0) & (table2["arm"] != "difference")].to_dict("records")
    ]
    if not rows:
        return "Nothing was run: no model of this study plays one of the paper's."
    return markdown.table(
        ["model", "data (in the paper)", "metric", "method", "recipe", "train examples", "seeds"], rows
    )


def _analyses(analyses: pd.DataFrame, labels: Mapping[str, str]) -> str:
    rows = []
    for row in analyses.to_dict("records"):
        where = ", ".join(filter(None, [row["paper_task"], row["group"]]))
        told = _divergence(row) if row["metric"] == "jensen_shannon" else _cell([row])
        model = system_label(row["model"], row["paper_model"], labels) + _dagger(row["model_stands_in"])
        size = "" if pd.isna(row["n_train"]) else f"{row['n_train']:,}"
        recipe = labels.get(row["recipe"], row["recipe"])
        rows.append([row["table"], model, where, row["setting"], told, recipe, size])
    return markdown.table(["table", "model", "data", "setting", "score", "recipe", "train examples"], rows)


def _divergence(row: Mapping[Any, Any]) -> str:
    published = "" if pd.isna(row["published"]) else f" ({row['published']:.2f})"
    return f"{row['mean']:.2f}{published}"

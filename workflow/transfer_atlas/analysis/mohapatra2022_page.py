"""Mohapatra & Mohapatra 2022 as a page to read: first what can be known of it here at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from transfer_atlas.analysis import claims_page, markdown
from transfer_atlas.analysis.claims.mohapatra2022 import PAPER
from transfer_atlas.analysis.claims.mohapatra2022.subject import FAMILIES, SETTINGS
from transfer_atlas.analysis.evidence import POINTS
from transfer_atlas.analysis.intervals import SIGNIFICANCE
from transfer_atlas.analysis.markdown import DAGGER
from transfer_atlas.analysis.metrics import METRIC_LABELS

Row = Mapping[Any, Any]

WHAT_THIS_IS = f"""\
**A conceptual replication.** Only the abstract of the paper and the start of its introduction were to be had. Its data
sets, languages, checkpoints, recipes, metrics and numbers are not known to us. The design is the paper's (three
families of tasks, three of models, domain and cross-lingual adaptation, with and without an intermediate task), the
data are of our choice. A verdict says whether the paper's conclusion holds *on these data*; it neither confirms nor
refutes its numbers. What else is ours:
[deviations](../../docs/deviations.md#mohapatra--mohapatra-2022-intermediate-training).
{DAGGER} stands on all that was run, because the data only ever stand in."""

CLAIMS = """\
A *cell* is a model, an intermediate task and a target of the same family, in another domain or another language, at the
largest size that both sides were run at. The target has a new head; where that was not run, the intermediate task's (a
note counts these). Both sides are fine-tuned, with paired seeds. n counts cells unless a note says otherwise, and
intervals are over cells: the paper speaks of most tasks. Cells that share a target share its runs without an
intermediate task, and models share pairs, so intervals are somewhat too narrow. The paper's models together decide a
claim; what each shows alone stands below it. *Controls* give the same answer against as many updates on the target
alone (so a gain is no matter of longer training), and with the head kept of pairs whose cell has a new one."""
COLUMNS = {"controls": claims_page.controls, "the paper's (given by the user)": claims_page.published}

SCORES = f"""\
Scores in points on test, mean ± half of the 95 % t interval over seeds; a difference is paired by seed. **Bold**: p ≤
{SIGNIFICANCE:g} after Holm's correction over all comparisons of `intermediate.csv`. *Beyond the budget*: minus as many
updates on the target alone. *Updates*: of the intermediate training(s), plus those on the target. *Left out*: training
rows of the intermediate task that hold a validation or test text of a later task, in brackets because of this target.
Each pair at the largest train size that was run; all sizes are in `intermediate.csv`."""
SCORES_NOT_RUN = "Not run: it takes an intermediate task and its target without one, both fine-tuned."

PUBLISHED = """\
The paper's numbers as given in `published.mohapatra2022`; nobody has checked them here. Beside them the mean over our
cells of the same model, setting and metric whose target has that `paper_name` or is of that family: other data, so the
signs can be compared, not the scores."""
PUBLISHED_NOT_GIVEN = """\
None are known. Who has the paper can name a csv file under `published: {mohapatra2022: …}`, with the columns model,
task, setting, intermediate (with or without), metric and value (in points); they then stand here beside ours."""


def page(made: Mapping[str, pd.DataFrame], labels: Mapping[str, str], published: pd.DataFrame) -> str:
    """Markdown of the claims, of all pairs with and without, and of the published numbers beside ours.

    Args:
        made: the tables `claims`, `intermediate` and `decontamination` by name; others are not read.
        labels: names to show, by name of the entry.
        published: the table of `mohapatra2022.beside_published`; empty where no numbers were given.
    """
    claims = made["claims"][made["claims"]["paper"] == PAPER]
    parts = [
        "# Mohapatra & Mohapatra 2022: (in)effectiveness of intermediate task training",
        WHAT_THIS_IS,
        "## Claims",
        CLAIMS,
        claims_page.table(claims, labels, COLUMNS),
        *claims_page.stand_ins(claims, labels),
        "## With and without an intermediate task",
        *_scores(made["intermediate"], made["decontamination"], labels),
        "## The paper's numbers",
        *_published(published, labels),
    ]
    return "\n\n".join(parts) + "\n"


def _scores(gains: pd.DataFrame, decontamination: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """A table for each family and setting, the paper's first."""
    tuned = gains[gains["method"] == "finetune"]
    pair = ["model", "intermediate", "task", "recipe"]
    largest = tuned[tuned["n_train"] == tuned.groupby(pair)["n_train"].transform("max")]
    # All of 2,000 examples and 2,000 are the same runs.
    distinct = largest.drop_duplicates([*pair, "n_train"])
    if distinct.empty:
        return [SCORES_NOT_RUN]
    found = [SCORES]
    groups = {str(family): rows for family, rows in distinct.groupby("family", sort=False)}
    for family in _first(FAMILIES, groups):
        by_setting = {str(setting): rows for setting, rows in groups[family].groupby("setting", sort=False)}
        for setting in _first(SETTINGS, by_setting):
            header = ["model", "intermediate task", "target", "recipe", "train examples", "metric", "without", "with"]
            header += ["difference", "beyond the budget", "seeds", "updates", "left out"]
            rows = [_pair(row, decontamination, labels) for row in by_setting[setting].to_dict("records")]
            found += [f"### {family.capitalize()}, {setting}", markdown.table(header, rows)]
    return found


def _first(known: Sequence[str], names: Mapping[str, Any]) -> list[str]:
    """The names, those that are known first."""
    return [*(name for name in known if name in names), *(name for name in names if name not in known)]


def _pair(row: Row, decontamination: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    model, intermediate, task, recipe = (
        labels.get(row[name], str(row[name])) for name in ("model", "intermediate", "task", "recipe")
    )
    kept = " (head kept)" if row["head"] == "keep" else ""
    return [
        *(model, intermediate + kept, task, recipe, f"{row['n_train']:,}"),
        METRIC_LABELS.get(row["metric"], str(row["metric"])),
        _points(row, "without_mean", "without_low", "without_high", "without_n"),
        _points(row, "with_mean", "with_low", "with_high", "with_n"),
        _difference(row, "difference", "p_holm"),
        _difference(row, "beyond_budget", "beyond_budget_p_holm"),
        str(row["difference_n"]),
        f"{row['steps_before']:,.0f} + {row['steps']:,.0f}",
        _left_out(row, decontamination),
    ]


def _points(row: Row, mean: str, low: str, high: str, n: str, signed: bool = False) -> str:
    count: int = 0 if pd.isna(row[n]) else int(row[n])
    return markdown.points(row[mean] * POINTS, row[low] * POINTS, row[high] * POINTS, count, signed)


def _difference(row: Row, name: str, p_holm: str) -> str:
    told = _points(row, name, f"{name}_low", f"{name}_high", f"{name}_n", signed=True)
    return f"**{told}**" if row[p_holm] <= SIGNIFICANCE else told


def _left_out(row: Row, decontamination: pd.DataFrame) -> str:
    """Training rows of the intermediate task left out, and those of them because of this target."""
    here = decontamination[
        (decontamination["intermediate"] == row["intermediate"]) & (decontamination["split"] == "train")
    ]
    if here.empty:
        return ""
    shared = int(here.loc[here["other_task"] == row["task"], "shared"].sum())
    return f"{here['left_out'].iloc[0]:,} of {here['rows'].iloc[0]:,} ({shared:,})"


def _published(published: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    if published.empty:
        return [PUBLISHED_NOT_GIVEN]
    header = ["model", "task", "setting", "metric", "the paper: without", "with", "difference"]
    header += ["ours: without", "with", "difference", "cells", "seeds", "our models", "our targets"]
    rows = [_beside(row, labels) for row in published.to_dict("records")]
    return [PUBLISHED, markdown.table(header, rows)]


def _beside(row: Row, labels: Mapping[str, str]) -> list[str]:
    run = bool(row["n"])
    scores = [
        "" if pd.isna(row[name]) else markdown.number(row[name], signed=name == "published_difference")
        for name in ("published_without", "published_with", "published_difference", "without", "with")
    ]
    return [
        *(row["model"], row["task"], row["setting"], METRIC_LABELS.get(row["metric"], row["metric"])),
        *scores,
        markdown.points(row["mean"], row["low"], row["high"], row["n"], signed=True) + (DAGGER if run else ""),
        *((str(row["cells"]), str(row["n"])) if run else ("", "")),
        *(markdown.entries(row[name], labels) for name in ("models", "tasks")),
    ]

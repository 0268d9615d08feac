"""How far the groups of a task are from a reference corpus, against the gain of fine-tuning in each of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from transfer_atlas import atomic, plan
from transfer_atlas.analysis import domain
from transfer_atlas.plan import Cell, Plan
from transfer_atlas.settings import Domain, Settings
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.overlap import row_texts
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training.metrics import score

TABLE, CORRELATIONS = "domains.csv", "domain_correlations.csv"
SPLIT = "test"
_KEYS = ["model", "task", "reference", "size"]


def run(settings: Settings, selected: Plan, output: Path) -> None:
    """Write the gains by group and their correlations with the divergences into the folder `output`.

    Raises:
        UserError: A prepared task is missing.
    """
    gains = []
    for entry in settings.domains:
        examples = read_split(plan.task_folder(entry.task), SPLIT)
        divergences = _divergences(entry, examples)
        scores = pd.DataFrame(
            _scores(settings, selected, entry, examples), columns=[*_KEYS, "recipe", "seed", "group", "score"]
        )
        by_method = {
            method: sorted(name for name in set(scores["recipe"]) if settings.recipes[name].method == method)
            for method in ("finetune", "extract")
        }
        for finetune, extract in product(by_method["finetune"], by_method["extract"]):
            gains.append(domain.gains(scores, divergences, finetune, extract))
    table = pd.concat([pd.DataFrame(columns=[*_KEYS, *domain.GAINS]), *gains], ignore_index=True)
    for name, values in ((TABLE, table), (CORRELATIONS, domain.correlations(table))):
        atomic.write_text(output / name, values.to_csv(index=False, lineterminator="\n", float_format="%.6g"))
        print(f"{name}: {len(values)} rows", flush=True)


def _texts(examples: Examples) -> list[str]:
    """Each row's text, or both texts of a pair."""
    return [" ".join(texts) for texts in row_texts(examples)]


def _divergences(entry: Domain, examples: Examples) -> dict[str, float]:
    """Divergence of each group's texts from the reference's training texts."""
    reference = domain.term_counts(_texts(read_split(plan.task_folder(entry.reference), "train")))
    assert examples.groups is not None, f"tasks.{entry.task} has no fields.group"
    texts, groups = np.array(_texts(examples), dtype=object), np.array(examples.groups, dtype=object)
    return {
        group: domain.divergence_of_counts(domain.term_counts(texts[groups == group]), reference)
        for group in sorted(set(examples.groups))
    }


def _scores(settings: Settings, selected: Plan, entry: Domain, examples: Examples) -> Iterator[dict[str, Any]]:
    """The main metric of each run on each group; runs without surgery and intermediate task."""
    metric = settings.tasks[entry.task].main_metric
    group_of = dict(zip(examples.ids, examples.groups or [], strict=True))
    for bundle in plan.bundles(settings, selected).values():
        for cell in bundle.cells:
            if (cell.task, cell.intermediate, cell.surgery) == (entry.task, plan.NONE, plan.NONE):
                yield from _of_cell(cell, plan.predictions_file(bundle.name), entry, metric, group_of)


def _of_cell(cell: Cell, file: Path, entry: Domain, metric: str, group_of: dict[str, str]) -> Iterator[dict[str, Any]]:
    wanted = [("recipe", "==", cell.recipe), ("size", "==", str(cell.size)), ("split", "==", SPLIT)]
    table = pq.read_table(file, filters=wanted).to_pandas()
    outputs = [name for name in table if name.startswith("output_")]
    table["group"] = table["id"].map(group_of)
    for (seed, group), rows in table.groupby(["seed", "group"], sort=True):
        predictions = rows[outputs].to_numpy()
        labels = rows["label"].to_numpy()
        right = labels if metric in ("pearson", "spearman") else labels.astype(np.int64)
        yield {
            "model": cell.model,
            "task": cell.task,
            "reference": entry.reference,
            "size": str(cell.size),
            "recipe": cell.recipe,
            "seed": seed,
            "group": group,
            "score": score(metric, predictions, right),
        }

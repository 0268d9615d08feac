"""What a run gives, and the table of a job: one row for each run, split and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transfer_atlas import atomic, plan
from transfer_atlas.identity import digest_of
from transfer_atlas.plan import Bundle, Cell, Run, State
from transfer_atlas.settings import Settings
from transfer_atlas.training.outcome import Scored
from transfer_atlas.training.store import PREDICTIONS, Store

# The names of entries are added when a table is written, so that renaming an
# entry of the configuration retrains nothing.
COLUMNS: dict[str, pa.DataType] = {
    "run": pa.string(),
    "model": pa.string(),
    "intermediate": pa.string(),
    "intermediate_seed": pa.int64(),
    "task": pa.string(),
    "recipe": pa.string(),
    "method": pa.string(),
    "head": pa.string(),
    "surgery": pa.string(),
    "surgery_kind": pa.string(),
    "width": pa.int64(),
    "init": pa.string(),
    "biases": pa.string(),
    "layer_norm": pa.string(),
    "rate_factor": pa.float64(),
    "depth": pa.int64(),
    "n_train": pa.int64(),
    "size": pa.string(),
    "seed": pa.int64(),
    "split": pa.string(),
    "metric": pa.string(),
    "value": pa.float64(),
    "n_examples": pa.int64(),
    "steps": pa.int64(),
    "steps_before": pa.int64(),
    "tokens": pa.int64(),
    "truncated": pa.int64(),
    "truncated_train": pa.int64(),
    "seconds": pa.float64(),
    "peak_memory_mb": pa.float64(),
    "device": pa.string(),
    "precision": pa.string(),
    "settings_digest": pa.string(),
    "data_digest": pa.string(),
    "model_digest": pa.string(),
    "code_digest": pa.string(),
}


def write_predictions(path: Path, splits: dict[str, Scored]) -> None:
    """Write the predictions of one run: split, id, label and each output."""
    outputs = next(iter(splits.values())).outputs.shape[1]
    columns: dict[str, Any] = {
        "split": pa.array([name for name, scored in splits.items() for _ in scored.ids]),
        "id": pa.array([i for scored in splits.values() for i in scored.ids]),
        "label": pa.array(np.concatenate([scored.labels.astype(np.float64) for scored in splits.values()])),
    }
    for k in range(outputs):
        columns[f"output_{k}"] = pa.array(np.concatenate([s.outputs[:, k].astype(np.float32) for s in splits.values()]))
    with atomic.replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary, compression="zstd")


def steps_before(state: State) -> int:
    """Updates of all intermediate trainings that made a state; 0 for the pretrained one."""
    if state.is_pretrained:
        return 0
    before = atomic.read_json(plan.training_file(state))
    return int(before["facts"]["steps"]) + int(before["steps_before"])


def rows_of(settings: Settings, cell: Cell, run: Run, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of one run, with the names of the configuration's entries."""
    recipe = settings.recipes[cell.recipe]
    surgery = plan.surgery_of(settings, cell.surgery)
    redraws = surgery.kind not in ("none", "permute")
    identity = result["identity"]
    shared = {
        "run": result["digest"],
        "model": cell.model,
        "intermediate": cell.intermediate,
        "intermediate_seed": run.start,
        "task": cell.task,
        "recipe": cell.recipe,
        "method": recipe.method,
        "head": recipe.head,
        "surgery": cell.surgery,
        "surgery_kind": None if surgery.kind == "none" else surgery.kind,
        "width": surgery.width,
        "init": surgery.init if redraws else None,
        "biases": surgery.biases if redraws else None,
        "layer_norm": surgery.layer_norm if redraws else None,
        "rate_factor": surgery.rate_factor if redraws else None,
        "depth": run.depth,
        "size": str(cell.size),
        "seed": run.seed,
        **{name: fact for name, fact in result["facts"].items() if name in COLUMNS},
        "steps_before": steps_before(plan.state_of(cell, run)),
        **{f"{part}_digest": digest_of(identity[part]) for part in ("settings", "data", "model", "code")},
    }
    return [{**shared, **value} for value in result["values"]]


def write_table(settings: Settings, bundle: Bundle, results: list[dict[str, Any]], store: Store) -> None:
    """Write the table of a bundle and, beside it, the predictions of all its runs; `results` are in their order."""
    schema = pa.schema(list(COLUMNS.items()))
    rows: list[dict[str, Any]] = []
    predictions = []
    for (cell, run), result in zip(bundle.runs, results, strict=True):
        rows += rows_of(settings, cell, run, result)
        table = pq.read_table(store.folder(result["digest"]) / PREDICTIONS)
        head = {
            "run": pa.array([result["digest"]] * len(table)),
            "recipe": pa.array([cell.recipe] * len(table)),
            "size": pa.array([str(cell.size)] * len(table)),
            "depth": pa.array([run.depth] * len(table), pa.int64()),
            "seed": pa.array([run.seed] * len(table), pa.int64()),
            "intermediate_seed": pa.array([run.start] * len(table), pa.int64()),
        }
        predictions.append(pa.table({**head, **{name: table[name] for name in table.column_names}}))
    with atomic.replacing(plan.predictions_file(bundle.name)) as temporary:
        pq.write_table(pa.concat_tables(predictions), temporary, compression="zstd")
    with atomic.replacing(plan.table_file(bundle.name)) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), temporary, compression="zstd")

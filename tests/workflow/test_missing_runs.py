"""A run that is missing stops the analysis; it never silently drops out of a mean."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from little_study import SURGERY_FILE, LittleStudy

SURGERY = "tiny/none/sentiment/finetune/reset_top/n48"


def drop_run(study: LittleStudy, depth: int, seed: int) -> None:
    """Remove one run's rows from the cell with surgery."""
    path = study.folder / SURGERY_FILE
    table = pq.read_table(path)
    rows: pd.DataFrame = table.to_pandas()
    kept = ~((rows["depth"] == depth) & (rows["seed"] == seed))
    assert 0 < kept.sum() < len(rows)
    pq.write_table(table.filter(pa.array(kept)), path)


def test_a_run_missing_from_its_cell_stops_the_study(study: LittleStudy) -> None:
    drop_run(study, depth=0, seed=2)
    call = study.snakemake("--retries", "0")
    assert call.status != 0
    line = f"error: {SURGERY_FILE}: the run of {SURGERY}, depth 0, seed 2 is missing; delete this file and run again"
    # In the log, and in what Snakemake shows.
    assert study.log("aggregate").splitlines()[-1] == line
    assert line in call.words
    assert not (study.results / "tables" / "scores.csv").exists()

    # The advice holds: the store still has the run.
    (study.folder / SURGERY_FILE).unlink()
    study.run("results/tables/layers_kept.csv")
    assert study.table("layers_kept")["n"].unique().tolist() == ["2"]


def test_a_missing_cell_stops_the_aggregation(study: LittleStudy) -> None:
    (study.folder / SURGERY_FILE).unlink()
    tables = {path: path.read_bytes() for path in (study.results / "tables").iterdir()}
    call = study.atlas("aggregate")
    assert call.status == 1
    assert call.err.splitlines() == [
        f"error: {SURGERY_FILE}: no such file, so the run of {SURGERY}, depth 0, seed 1 (and 3 more) is missing; "
        "run again to make it"
    ]
    assert tables == {path: path.read_bytes() for path in (study.results / "tables").iterdir()}

import json
import subprocess
import sys

import pandas as pd
import pytest

from transfer_atlas.errors import UserError
from transfer_atlas.steps import aggregate

NAMES = ["scores", "finetune_vs_extract", "intermediate", "layers_kept", "costs", "intermediate_training", "runs"]


@pytest.fixture
def study(make_runs, write_cell):
    """Declared cells of a small study."""
    seeds = (1, 2, 3)
    cells = {}
    for n in (100, 2000):
        for recipe, shift in (("finetune", 0.1), ("extract", 0.05)):
            rows = make_runs({s: 0.6 + shift + s / 77 + n / 1e5 for s in seeds}, recipe=recipe, n_train=n)
            runs = [(None, s) for s in seeds]
            cells[write_cell(rows, f"{recipe}{n}")] = {f"tiny/none/sentiment/{recipe}/none/n{n}": runs}
        rows = pd.concat(
            [make_runs({s: 0.5 + d / 7 + s / 91 for s in seeds}, surgery="resets", depth=d, n_train=n) for d in (0, 1)]
        )
        runs = [(d, s) for d in (0, 1) for s in seeds]
        cells[write_cell(rows, f"layers{n}")] = {f"tiny/none/sentiment/finetune/resets/n{n}": runs}
    rows = make_runs({s: 0.7 + s / 53 for s in seeds}, intermediate="films", n_train=2000)
    cells[write_cell(rows, "films")] = {"tiny/films/sentiment/finetune/none/n2000": [(None, s) for s in seeds]}
    return cells


def test_all_files_are_written(study, tasks, tmp_path, capsys):
    aggregate.run(study, [], tasks, {"sentiment": "Film reviews"}, tmp_path / "tables")
    written = {path.name for path in (tmp_path / "tables").iterdir()}
    assert written == {*(f"{name}.csv" for name in NAMES), "findings.txt", "findings.json"}
    findings = (tmp_path / "tables/findings.txt").read_text()
    assert "Film reviews (2,000 examples): finetune above extract" in findings
    assert findings.rstrip() in capsys.readouterr().out
    assert json.loads((tmp_path / "tables/findings.json").read_text())["layers"]["status"] == "run"


def test_same_bytes_again_and_whatever_the_order(study, tasks, tmp_path):
    aggregate.run(study, [], tasks, {}, tmp_path / "one")
    shuffled = {}
    for i, (cell, declared) in enumerate(reversed(study.items())):
        pd.read_parquet(cell).sample(frac=1, random_state=i).to_parquet(cell)
        shuffled[cell] = {name: runs[::-1] for name, runs in declared.items()}
    aggregate.run(shuffled, [], tasks, {}, tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_measured_time_is_in_two_tables_only(study, tasks, tmp_path):
    aggregate.run(study, [], tasks, {}, tmp_path / "one")
    for i, cell in enumerate(study):
        rows = pd.read_parquet(cell)
        rows["seconds"], rows["peak_memory_mb"] = rows["seconds"] + i + 1, 17.0
        rows.to_parquet(cell)
    aggregate.run(study, [], tasks, {}, tmp_path / "two")
    names = [path.name for path in (tmp_path / "one").iterdir()]
    changed = {
        name for name in names if (tmp_path / "one" / name).read_bytes() != (tmp_path / "two" / name).read_bytes()
    }
    assert changed == {"runs.csv", "costs.csv"}


def test_a_missing_run_stops_it_before_anything_is_written(study, tasks, tmp_path):
    path, declared = next(iter(study.items()))
    one_more = {name: [*runs, (None, 4)] for name, runs in declared.items()}
    with pytest.raises(UserError, match="no depth, seed 4"):
        aggregate.run({**study, path: one_more}, [], tasks, {}, tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_a_study_without_runs(tasks, tmp_path):
    aggregate.run({}, [], tasks, {}, tmp_path / "tables")
    for name in NAMES:
        assert (tmp_path / f"tables/{name}.csv").read_text().count("\n") == 1


def test_analysis_needs_no_torch():
    code = "import sys; from transfer_atlas.steps import aggregate, plot; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

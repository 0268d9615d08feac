"""What all tables of ablations have in common."""

import pandas as pd

from transfer_atlas.analysis import ablations, tables
from transfer_atlas.analysis.runs import collect

NAMES = {
    *("layers_kept", "layer_gains", "layer_probes", "layer_scores"),
    *("localised", "permutations", "permutation_correlations", "surgery_variants"),
}


def _study(make_runs):
    rows = [make_runs({1: 0.9, 2: 0.8}), make_runs({1: 0.6, 2: 0.5}, recipe="extract", depth=2)]
    for task, shift in (("sentiment", 0.0), ("similarity", 0.01)):
        for surgery, depths in {
            **dict.fromkeys(("resets", "authors"), range(4)),
            **dict.fromkeys(("blocks", "alone"), (1, 2)),
            "singles": (1, 2, 3),
            "shuffled": (1, 2, 3, 4),
        }.items():
            for depth in depths:
                scores = {seed: 0.5 + depth / 9 + seed * depth % 5 / 50 + shift for seed in (1, 2)}
                rows.append(make_runs(scores, surgery=surgery, depth=depth, task=task))
    return rows


def test_tables_have_their_columns_and_come_back_from_files(main, make_runs, surgeries, layers, tmp_path):
    made = ablations.tables(main(*_study(make_runs)), surgeries, layers)
    assert made.keys() == NAMES
    for name, table in made.items():
        assert list(table.columns) == tables.COLUMNS[name] and len(table), name
        tables.write(table, tmp_path / name)
        tables.write(tables.read(tmp_path / name), tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_order_of_the_runs_does_not_matter(main, make_runs, surgeries, layers):
    rows = _study(make_runs)
    one = ablations.tables(main(*rows), surgeries, layers)
    other = ablations.tables(main(*reversed(rows)), surgeries, layers)
    for name, table in one.items():
        pd.testing.assert_frame_equal(other[name], table)


def test_empty_tables_have_a_header(tasks, surgeries, layers, tmp_path):
    for name, table in ablations.tables(tables.main_scores(collect({}), tasks), surgeries, layers).items():
        tables.write(table, tmp_path / name)
        assert (tmp_path / name).read_text() == ",".join(tables.COLUMNS[name]) + "\n"
        assert tables.read(tmp_path / name).empty

import pandas as pd
import pytest

from transfer_atlas.analysis.runs import COLUMNS, collect
from transfer_atlas.errors import UserError

PLAIN = "tiny/none/sentiment/finetune/none/n1000"
CURVE = "tiny/none/sentiment/finetune/progressive/n1000"


def refusal(files) -> str:
    with pytest.raises(UserError) as caught:
        collect(files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_declared_runs_are_read_with_their_types(make_runs, write_cell):
    cell = write_cell(make_runs({1: 0.8, 2: 0.9}))
    runs = collect({cell: {PLAIN: [(None, 1, None), (None, 2, None)]}})
    assert list(runs.columns) == list(COLUMNS)
    assert len(runs) == 2 * 4
    assert str(runs["depth"].dtype) == "Int64" and runs["depth"].isna().all()
    test = runs[(runs["split"] == "test") & (runs["metric"] == "accuracy")]
    assert test["value"].tolist() == [0.8, 0.9]


def test_missing_run_names_cell_depth_and_seed(make_runs, write_cell):
    rows = [make_runs({1: 0.8, 2: 0.8}, surgery="progressive", depth=depth) for depth in (0, 3)]
    cell = write_cell(pd.concat(rows))
    declared = [(depth, seed, None) for depth in (0, 3) for seed in (1, 2)]
    assert len(collect({cell: {CURVE: declared}})) == 16
    message = refusal({cell: {CURVE: [*declared, (3, 7, None)]}})
    assert str(cell) in message and f"{CURVE}, depth 3, seed 7" in message and "run again" in message


def test_missing_run_without_depth(make_runs, write_cell):
    cell = write_cell(make_runs({1: 0.8}))
    message = refusal({cell: {PLAIN: [(None, 1, None), (None, 2, None), (None, 3, None)]}})
    assert "no depth, seed 2" in message and "1 more" in message


def test_a_run_at_another_depth_does_not_stand_in(make_runs, write_cell):
    cell = write_cell(make_runs({1: 0.8}))
    assert "depth 0, seed 1" in refusal({cell: {PLAIN: [(0, 1, None)]}})


def test_missing_file_is_a_missing_run(tmp_path):
    message = refusal({tmp_path / "none.parquet": {CURVE: [(2, 1, None)]}})
    assert "none.parquet" in message and "depth 2, seed 1" in message


def test_unreadable_file(tmp_path):
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and then nothing")
    assert "cut.parquet: not a readable parquet file" in refusal({tmp_path / "cut.parquet": {PLAIN: [(None, 1, None)]}})


def test_a_file_without_rows(make_runs, write_cell):
    cell = write_cell(make_runs({1: 0.8}).iloc[:0])
    assert "no depth, seed 1" in refusal({cell: {PLAIN: [(None, 1, None)]}})


def test_missing_column(make_runs, write_cell):
    cell = write_cell(make_runs({1: 0.8}).drop(columns="seconds"))
    assert "column seconds is missing" in refusal({cell: {PLAIN: [(None, 1, None)]}})


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_run_without_a_split(make_runs, write_cell, split):
    rows = make_runs({1: 0.8, 2: 0.8})
    cell = write_cell(rows[(rows["seed"] == 1) | (rows["split"] != split)])
    assert f"seed 2 has no {split} scores" in refusal({cell: {PLAIN: [(None, 1, None), (None, 2, None)]}})


def test_a_run_without_a_metric_of_the_others(make_runs, write_cell):
    rows = make_runs({1: 0.8, 2: 0.8})
    cell = write_cell(rows[~((rows["seed"] == 2) & (rows["split"] == "test") & (rows["metric"] == "macro_f1"))])
    assert "seed 2 has no macro_f1 on test" in refusal({cell: {PLAIN: [(None, 1, None), (None, 2, None)]}})


def test_a_score_twice(make_runs, write_cell):
    rows = make_runs({1: 0.8})
    cell = write_cell(pd.concat([rows, rows.iloc[:1]]))
    assert "two rows for one score" in refusal({cell: {PLAIN: [(None, 1, None)]}})


def test_rows_that_nobody_declared_are_left_out(make_runs, write_cell):
    cell = write_cell(make_runs({1: 0.8, 2: 0.1, 3: 0.1}))
    assert set(collect({cell: {PLAIN: [(None, 1, None)]}})["seed"]) == {1}


def test_a_copied_cell_is_refused(make_runs, write_cell):
    rows = make_runs({1: 0.8})
    files = {write_cell(rows, name): {PLAIN: [(None, 1, None)]} for name in ("one", "two")}
    assert f"two files hold the run of {PLAIN}, no depth, seed 1; " in refusal(files)


def test_the_same_run_in_two_cells_keeps_both_rows(make_runs, write_cell):
    plain = write_cell(make_runs({1: 0.8}, digest="same"), "plain")
    full = write_cell(make_runs({1: 0.8}, digest="same", surgery="progressive", depth=6), "full")
    runs = collect({plain: {PLAIN: [(None, 1, None)]}, full: {CURVE: [(6, 1, None)]}})
    assert runs["run"].nunique() == 1
    assert set(runs["surgery"]) == {"none", "progressive"}


def test_order_does_not_depend_on_where_rows_come_from(make_runs, write_cell):
    rows = pd.concat([make_runs({1: 0.8, 2: 0.9}, surgery="progressive", depth=depth) for depth in (0, 1, 2)])
    declared = [(depth, seed, None) for depth in (0, 1, 2) for seed in (1, 2)]
    other = write_cell(make_runs({1: 0.5}, task="similarity"), "other")
    similarity = {"tiny/none/similarity/finetune/none/n1000": [(None, 1, None)]}
    one = collect({write_cell(rows, "b"): {CURVE: declared}, other: similarity})
    shuffled = write_cell(rows.sample(frac=1, random_state=0), "b")
    assert one.equals(collect({other: similarity, shuffled: {CURVE: declared[::-1]}}))


def test_sizes_are_ordered_by_their_examples(make_runs, write_cell):
    sizes = {"500": 500, "2000": 2000, "all": 1000}
    files = {
        write_cell(make_runs({1: 0.8}, n_train=n, size=size), size): {
            f"{PLAIN.rsplit('/', 1)[0]}/n{size}": [(None, 1, None)]
        }
        for size, n in sizes.items()
    }
    assert collect(files)["size"].drop_duplicates().tolist() == ["500", "all", "2000"]


def test_nothing_declared(make_runs, write_cell):
    empty = collect({write_cell(make_runs({1: 0.8})): {PLAIN: []}})
    assert empty.empty and list(empty.columns) == list(COLUMNS)


def test_seeds_of_the_intermediate_training_tell_runs_apart(make_runs, write_cell):
    cell = "tiny/films/sentiment/finetune/none/n1000"
    crossed = pd.concat([make_runs({1: 0.8, 2: 0.9}, intermediate="films", start=start) for start in (5, 6)])
    path = write_cell(crossed)
    declared = [(None, seed, start) for seed in (1, 2) for start in (5, 6)]
    runs = collect({path: {cell: declared}})
    assert len(runs) == 4 * 4 and runs["intermediate_seed"].drop_duplicates().tolist() == [5, 6]
    assert set(collect({path: {cell: [(None, 2, 6)]}})["intermediate_seed"]) == {6}
    assert f"{cell}, no depth, seed 1 after intermediate seed 7" in refusal({path: {cell: [(None, 1, 7)]}})
    assert "no depth, seed 1 is missing" in refusal({path: {cell: [(None, 1, None)]}})


def test_a_file_may_hold_several_cells(make_runs, write_cell):
    names = {f"tiny/none/sentiment/{recipe}/none/n{n}": (recipe, n) for recipe in ("extract", "linear") for n in (8, 9)}
    rows = [make_runs({1: 0.7, 2: 0.8}, recipe=recipe, n_train=n) for recipe, n in names.values()]
    heads = write_cell(pd.concat(rows), "extract.mean")
    declared = {name: [(None, 1, None), (None, 2, None)] for name in names}
    assert len(collect({heads: declared})) == 4 * 2 * 4
    assert set(collect({heads: {name: [(None, 2, None)] for name in names if "linear" in name}})["recipe"]) == {
        "linear"
    }
    missing = {**declared, "tiny/none/sentiment/linear/none/n9": [(None, 1, None), (None, 7, None)]}
    assert "the run of tiny/none/sentiment/linear/none/n9, no depth, seed 7 is missing" in refusal({heads: missing})


def test_a_cell_in_the_wrong_file_is_missing(make_runs, write_cell):
    rows = make_runs({1: 0.8}, recipe="extract")
    assert f"{PLAIN}, no depth, seed 1 is missing" in refusal({write_cell(rows): {PLAIN: [(None, 1, None)]}})

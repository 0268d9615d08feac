"""Only what changed is made again."""

from __future__ import annotations

import os
import time

import pytest
from little_study import (
    AFTER_REVIEWS_CELL,
    ANALYSIS,
    HEADS_CELL,
    HEADS_FILE,
    PLAIN_CELL,
    PLAIN_FILE,
    REVIEWS_TRAININGS,
    RUNS_IN_STORE,
    SIMILARITY_CELL,
    SURGERY_CELL,
    LittleStudy,
)


def experiment(study: LittleStudy, name: str) -> dict:
    """An experiment of the configuration, by its name."""
    (found,) = [entry for entry in study.config["experiments"] if entry["name"] == name]
    return found


def test_finished_study_has_nothing_left_to_do(finished: LittleStudy) -> None:
    assert len(finished.stored()) == RUNS_IN_STORE
    assert finished.plan() == set()


def test_a_new_seed_trains_only_itself(study: LittleStudy) -> None:
    before = study.stored()
    experiment(study, "layers kept")["seeds"] = 3
    study.configure()

    assert study.run_jobs() == {SURGERY_CELL, *ANALYSIS}

    log = study.log(SURGERY_CELL)
    # Depths 0 and 2: of seeds 1 and 2 both are there, of seed 3 neither.
    assert log.count("taken from the store") == 4
    assert log.count(" steps in ") == 2
    after = study.stored()
    assert len(after) == RUNS_IN_STORE + 2
    assert {path: after[path] for path in before} == before
    kept = study.table("runs").query("surgery == 'reset_top'")
    assert sorted(kept["seed"].unique()) == ["1", "2", "3"]


def test_a_new_seed_after_an_intermediate_task_trains_only_that_seed_of_both(study: LittleStudy) -> None:
    experiment(study, "intermediate task")["seeds"] = 3
    study.configure()
    third = "train_intermediate/tiny/reviews/seed3"
    assert study.plan() == {third, AFTER_REVIEWS_CELL, *ANALYSIS}


def test_a_new_learning_rate_retrains_exactly_the_runs_of_its_recipe(study: LittleStudy) -> None:
    before = study.stored()
    recipes = study.config["recipes"]
    recipes["extract"]["learning_rate"] = 2.0e-2
    study.configure()

    assert study.run_jobs() == {HEADS_CELL, *ANALYSIS}

    assert study.log(HEADS_CELL).count(" steps in ") == 2
    after = study.stored()
    assert len(after) == RUNS_IN_STORE + 2
    assert {path: after[path] for path in before} == before

    # The old rate's runs are still there.
    recipes["extract"]["learning_rate"] = 1.0e-2
    study.configure()
    study.run(HEADS_FILE)
    assert study.log(HEADS_CELL).count("taken from the store") == 2
    assert study.stored() == after

    recipes["finetune"]["learning_rate"] = 2.0e-3
    study.configure()
    assert study.plan() == {PLAIN_CELL, SURGERY_CELL, AFTER_REVIEWS_CELL, *ANALYSIS}


def test_a_new_learning_rate_of_the_intermediate_recipe_retrains_what_comes_after(study: LittleStudy) -> None:
    study.config["recipes"]["patient"]["learning_rate"] = 2.0e-3
    study.configure()
    assert study.plan() == {*REVIEWS_TRAININGS, AFTER_REVIEWS_CELL, SIMILARITY_CELL, *ANALYSIS}


def unrelated_settings(study: LittleStudy) -> None:
    study.config["tasks"]["sentiment"]["licence"] = "another"
    study.config["models"]["tiny"]["licence"] = "another"
    study.config["execution"] = {"progress_seconds": 7.0, "checkpoint_seconds": 7.0}
    study.config["recipes"]["unused"] = study.config["recipes"]["finetune"]
    study.config["study"] = "renamed"
    study.configure()


def comment_in_configuration(study: LittleStudy) -> None:
    path = study.folder / "config.yaml"
    path.write_text("# a comment\n\n" + path.read_text(encoding="utf-8"), encoding="utf-8")


def comments_docstrings_white_space_in_code(study: LittleStudy) -> None:
    for module in ("training/loop.py", "steps/train.py", "tasks/readers.py", "analysis/tables.py", "figures/style.py"):
        path = study.package / module
        first, rest = path.read_text(encoding="utf-8").split("\n", 1)
        assert first.startswith('"""')
        text = (
            first.replace('"""', '"""An edited docstring. ', 1) + "\n# A comment.\n\n\n" + rest + "\n\n\n# The end.\n"
        )
        path.write_text(text.replace("import annotations\n", "import annotations  # why\n\n\n", 1), encoding="utf-8")


def touched_files(study: LittleStudy) -> None:
    now = time.time()
    touched = [study.folder / "given" / "similarity.csv"]
    touched += (study.results / "artifacts").glob("*/manifest.json")
    touched += (study.results / "tasks").glob("*/*.parquet")
    touched += (study.folder / "workflow").rglob("*.py")
    for path in touched:
        os.utime(path, (now, now))


@pytest.mark.parametrize(
    "change",
    [unrelated_settings, comment_in_configuration, comments_docstrings_white_space_in_code, touched_files],
    ids=lambda change: change.__name__,
)
def test_what_cannot_change_a_result_reruns_nothing(study: LittleStudy, change) -> None:
    change(study)
    assert study.plan() == set()


def test_a_label_redraws_and_retrains_nothing(study: LittleStudy) -> None:
    study.config["tasks"]["sentiment"]["label"] = "What people think"
    study.config["models"]["tiny"]["label"] = "A random encoder"
    study.configure()
    assert study.plan() == ANALYSIS


FETCHED_AND_PREPARED = {"download", "prepare_task", "compare_tasks"}


def test_edited_loop_retrains_what_passes_through_it(study: LittleStudy) -> None:
    before = study.stored()
    study.edit("EVALUATION_BATCH = 64", "EVALUATION_BATCH = 16")

    planned = study.plan()
    assert planned >= {PLAIN_CELL, SURGERY_CELL, AFTER_REVIEWS_CELL, SIMILARITY_CELL, HEADS_CELL, *REVIEWS_TRAININGS}
    assert planned >= ANALYSIS
    assert not {job.split("/")[0] for job in planned} & FETCHED_AND_PREPARED

    # The job is not only run again: nothing in the store counts as made by the new code.
    study.run(PLAIN_FILE)
    assert study.log(PLAIN_CELL).count(" steps in ") == 2
    assert len(study.stored()) == len(before) + 2


def test_edited_choice_of_rows_retrains_what_learns_from_them(study: LittleStudy) -> None:
    """What becomes of the rows before the loop sees them decides the result as much as the loop does."""
    study.edit("splits[split].without(set(ids))", "splits[split].without(frozenset(ids))")
    planned = study.plan()
    assert planned >= {PLAIN_CELL, SURGERY_CELL, AFTER_REVIEWS_CELL, SIMILARITY_CELL, *REVIEWS_TRAININGS, *ANALYSIS}
    assert not {job.split("/")[0] for job in planned} & FETCHED_AND_PREPARED

    study.run("results/intermediate/tiny/reviews/seed1/model.safetensors")
    log = study.log("train_intermediate/tiny/reviews/seed1")
    assert " steps in " in log
    assert "taken from the store" not in log


def test_another_language_is_another_setting_of_the_same_runs(study: LittleStudy) -> None:
    study.config["tasks"]["sentiment"]["language"] = "de"
    study.configure()
    assert study.plan() == ANALYSIS


def test_edited_figure_redraws_only(study: LittleStudy) -> None:
    path = study.package / "figures" / "layers_kept.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nSIZE_OF_DOTS = 3\n", encoding="utf-8")
    assert study.plan() == {"plot"}


def test_edited_table_retrains_nothing(study: LittleStudy) -> None:
    path = study.package / "analysis" / "intervals.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nLEVEL_OF_ANOTHER_INTERVAL = 0.9\n", encoding="utf-8")
    # Gains in domains come with intervals too.
    assert study.plan() == {"compare_domains", *ANALYSIS}


def test_removed_task_leaves_the_tables_although_its_files_lie_about(study: LittleStudy) -> None:
    study.config["experiments"].remove(experiment(study, "similarity"))
    study.configure()

    assert study.run_jobs() == {"compare_tasks", *ANALYSIS}

    cell = study.results / "cells/tiny/none/similarity/patient/none/nall.parquet"
    assert cell.is_file()
    for path in (study.results / "tables").iterdir():
        assert "similarity" not in path.read_text(encoding="utf-8"), path
    assert set(study.table("runs")["task"]) == {"sentiment"}
    orphans = study.atlas("status", "--orphans").out.splitlines()
    assert orphans[0].startswith("3 cell files and 2 stored runs")
    assert str(cell.relative_to(study.folder)) in orphans
    assert sum(line.startswith("results/store/") for line in orphans) == 2

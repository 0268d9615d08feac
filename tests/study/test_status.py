"""`status`: what is done, running and missing, and what nobody asks for."""

from __future__ import annotations

import time
from typing import Any

from transfer_atlas import atomic, estimate, plan, status
from transfer_atlas.plan import Bundle, Run
from transfer_atlas.settings import Settings

PLAIN = "tiny/none/sentiment/finetune/none/n16"
HEADS = "tiny/none/sentiment/extract.mean"


def described(results: Any) -> dict[str, str]:
    """The lines of `status` by their first word; those below it joined."""
    found: dict[str, str] = {}
    word = ""
    for line in status.describe(results.settings, cores=2):
        word = line.split()[0] if not line.startswith(" ") else word
        found[word] = "\n".join(filter(None, [found.get(word), line]))
    return found


def beacon(results: Any, age: float = 0.0, **state: Any) -> None:
    """A job says how far it is."""
    whole = {"run": f"{PLAIN} seed=1", "step": 3, "steps": 9, "job_seconds_left": 75.0, "time": time.time() - age}
    atomic.write_json(estimate.beacon_file(Bundle(PLAIN, ())), whole | state)


def test_of_a_study_that_has_not_begun(results: Any) -> None:
    lines = described(results)
    assert lines["done"] == "done     0 runs, 0 of 13 tables"
    assert lines["running"] == "running  0 jobs"
    assert lines["time"].endswith("left on 2 cores (speed a first guess)")


def test_missing_runs_are_counted_by_cell(results: Any) -> None:
    results.prepare_everything()
    results.finish(results.cell(PLAIN), Run(None, 1))
    lines = described(results)
    assert lines["done"].startswith("done     1 runs, ")
    assert f"            1  {PLAIN}" in lines["missing"].split("\n")
    assert "(speed measured here)" in lines["time"]


def test_tables_are_counted(results: Any) -> None:
    atomic.write_text(plan.table_file(PLAIN), "table")
    atomic.write_text(plan.table_file(HEADS), "table of all sizes")
    atomic.write_text(plan.table_file("tiny/none/gone/finetune/none/n16"), "table")
    assert described(results)["done"] == "done     0 runs, 2 of 13 tables"


def test_a_running_job_says_how_far_it_is(results: Any) -> None:
    beacon(results)
    assert described(results)["running"] == (f"running  1 jobs\n         {PLAIN} seed=1  step 3/9, job 1 min 15 s left")


def test_a_job_that_was_killed_is_not_running(results: Any) -> None:
    beacon(results, age=10 * status.STALE_SECONDS)
    assert described(results)["running"] == "running  0 jobs"


def test_a_beacon_that_is_being_replaced_is_passed_over(results: Any) -> None:
    atomic.write_text(plan.RESULTS / "running" / "half.json", "{")
    assert described(results)["running"] == "running  0 jobs"


def test_of_a_finished_study(results: Any) -> None:
    results.prepare_everything()
    for cell, run in plan.all_runs(results.settings, plan.expand(results.settings)):
        results.finish(cell, run)
    lines = described(results)
    assert lines["missing"] == "missing  0 runs"
    assert "time" not in lines


def test_nothing_is_an_orphan_of_its_own_study(results: Any) -> None:
    results.prepare_everything()
    results.finish(results.cell(PLAIN), Run(None, 1))
    atomic.write_text(plan.table_file(PLAIN), "table")
    atomic.write_text(plan.predictions_file(PLAIN), "predictions")
    atomic.write_text(plan.table_file(HEADS), "table")
    atomic.write_text(plan.predictions_file(HEADS), "predictions")
    assert status.orphans(results.settings) == ["0 cell files and 0 stored runs that the settings do not ask for"]


def test_orphans_are_what_other_settings_left(results: Any) -> None:
    results.prepare_everything()
    digest = results.finish(results.cell(PLAIN), Run(None, 1))
    atomic.write_text(plan.table_file(PLAIN), "table")
    config = results.settings.model_dump(mode="json")
    config["experiments"] = [{"models": ["tiny"], "tasks": ["similarity"], "recipes": ["extract"]}]

    lines = status.orphans(Settings.model_validate(config))

    assert lines == [
        "1 cell files and 1 stored runs that the settings do not ask for",
        str(plan.table_file(PLAIN)),
        str(results.store.folder(digest)),
    ]

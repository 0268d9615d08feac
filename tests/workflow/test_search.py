"""A study that chooses hyper-parameters: what is tried, what is trained again, and what a kill costs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from little_study import LittleStudy
from test_killed import CHECKPOINTS, TRAINING, TRIES, aim, kill_at, resumed

TUNED = "finetune/tiny/none/sentiment/tuned/n48"
PROBED = {f"train_heads/tiny/{intermediate}/sentiment/mean" for intermediate in ("none", "reviews")}
ANALYSIS = {"aggregate", "plot"}


@pytest.fixture(scope="module")
def searched(untouched: LittleStudy, tmp_path_factory: pytest.TempPathFactory) -> LittleStudy:
    """Two recipes with a search of two candidates each, with and without an intermediate task, run undisturbed."""
    study = untouched.copied(tmp_path_factory.mktemp("searched") / "study")
    recipes: dict[str, Any] = study.config["recipes"]
    for name, like in (("tuned", "patient"), ("probed", "extract")):
        # The first one teaches nothing.
        choice = {"search": {"learning_rate": [1.0e-6, 3.0e-3]}, "search_seeds": [9]}
        recipes[name] = {**recipes[like], **choice}
    study.config["experiments"] = [
        {
            "models": ["tiny"],
            "tasks": ["sentiment"],
            "recipes": ["tuned", "probed"],
            "intermediates": ["none", "reviews"],
            "sizes": [48],
            "seeds": 1,
        }
    ]
    study.configure()
    study.run()
    return study


@pytest.fixture
def searching(searched: LittleStudy, tmp_path: Path) -> LittleStudy:
    """A copy to be changed at will."""
    return searched.copied(tmp_path / "study")


def test_a_search_from_end_to_end(searching: LittleStudy) -> None:
    table = searching.table("search")
    assert len(table) == 4 * 2
    assert set(table["candidates"]) == {"2"}
    chosen = table[table["chosen"] == "True"]
    assert len(chosen) == 4
    for _, cell in table.groupby(["recipe", "intermediate"]):
        best = cell.loc[cell["mean"].astype(float).idxmax()]
        assert best["chosen"] == "True"
    # Trials are in no table of results; those after the intermediate task had a training of their own.
    assert set(searching.table("runs")["seed"]) == {"1"}
    assert set(searching.table("intermediate_training")["seed"]) == {"1", "9"}
    assert searching.plan() == set()
    assert searching.atlas("status", "--orphans").out.startswith("0 cell files and 0 stored runs")

    (rate,) = (
        json.loads(text)["learning_rate"] for text in chosen.loc[chosen["recipe"] == "tuned", "settings"].unique()
    )
    digests = set(searching.table("runs").query("recipe == 'tuned'")["run"])
    searching.config["recipes"]["tuned"] |= {"learning_rate": rate, "search": {}}
    searching.configure()
    assert {job.split("/")[0] for job in searching.plan()} == {"finetune", *ANALYSIS}
    stored = searching.stored()
    searching.run()
    assert set(searching.table("runs").query("recipe == 'tuned'")["run"]) == digests
    assert searching.stored() == stored


def test_a_wider_search_trains_what_is_new(searching: LittleStudy) -> None:
    before = searching.stored()
    searching.config["recipes"]["probed"]["search"]["learning_rate"].append(0.03)
    # Recipes of one experiment have one budget.
    searching.config["experiments"] = [
        {**searching.config["experiments"][0], "recipes": ["tuned"]},
        {**searching.config["experiments"][0], "recipes": ["probed"]},
    ]
    searching.configure()
    assert searching.plan() == PROBED | ANALYSIS
    searching.run()
    after = searching.stored()
    assert before.items() <= after.items()
    seeds = [json.loads(after[path][1])["identity"]["settings"]["seed"] for path in after.keys() - before.keys()]
    assert seeds.count(9) == 2
    assert len(searching.table("search")) == 2 * 2 + 2 * 3


def test_killed_while_searching(searching: LittleStudy, searched: LittleStudy) -> None:
    searching.cell("tiny/none/sentiment/tuned/none/n48").unlink()
    for folder in ("store", "tables"):
        shutil.rmtree(searching.results / folder)
    went_on: set[str] = set()
    for _ in range(TRIES):
        kill_at(searching, aim(TRAINING, CHECKPOINTS, 0.0), delay=0.0)
        assert searching.snakemake("--unlock").status == 0
        went_on |= {line for line in resumed(searching) if "tuned~" in line and "seed=9" in line}
        if went_on:
            break
    searching.run()
    assert went_on | {line for line in resumed(searching) if "tuned~" in line}
    assert searching.differing(searched) == []

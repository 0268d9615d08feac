"""The design of configs/mohapatra2022.yaml: every family in both settings, with, without and with as many updates."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from transfer_atlas import plan
from transfer_atlas.configuration import problems
from transfer_atlas.plan import NONE, Cell
from transfer_atlas.settings import Settings, UrlArtifact

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "config.yaml", ROOT / "configs" / "mohapatra2022.yaml"]
FAMILIES = ["sentence similarity", "sentiment analysis", "text classification"]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return problems.load(problems.read_files(FILES), FILES)


@pytest.fixture(scope="module")
def cells(settings: Settings) -> list[Cell]:
    return list(plan.expand(settings).cells.values())


def setting_of(settings: Settings, cell: Cell) -> str:
    assert cell.before is not None
    first, second = settings.tasks[settings.intermediates[cell.before].task], settings.tasks[cell.task]
    if first.language != second.language:
        return "cross-lingual"
    return "domain" if first.domain != second.domain else "same"


def test_every_family_and_setting_has_three_pairs_with_every_model_family(
    settings: Settings, cells: list[Cell]
) -> None:
    pairs: dict[tuple[str, str], dict[str, set[tuple[str, str]]]] = defaultdict(lambda: defaultdict(set))
    for cell in cells:
        if cell.before is not None:
            place = (settings.tasks[cell.task].family, setting_of(settings, cell))
            pairs[place][settings.models[cell.model].paper_name or ""].add((cell.before, cell.task))
    assert sorted(pairs) == [(family, setting) for family in FAMILIES for setting in ("cross-lingual", "domain")]
    for (_, setting), by_model in pairs.items():
        controls = {"mBERT", "XLM-R"} if setting == "cross-lingual" else set()
        assert set(by_model) == {"BERT", "RoBERTa", "XLNet"} | controls
        assert all(len(found) >= 3 for found in by_model.values())
    assert all(model.stand_in for name, model in settings.models.items() if any(c.model == name for c in cells))


def test_every_arm_has_the_same_seeds_and_trials(settings: Settings, cells: list[Cell]) -> None:
    arms: dict[tuple[str, str, object], dict[str, Cell]] = defaultdict(dict)
    for cell in cells:
        if cell.size != 0:
            arms[cell.model, cell.task, cell.size][cell.intermediate] = cell
    # Variants of a pair that is there already; they are compared with the arms of that pair.
    variants = {"imdb-new-head", "imdb-amazon", "imdb-crossed"}
    for place, found in arms.items():
        assert NONE in found, place
        assert {f"{NONE}~{name}" for name in set(found) - variants if settings.intermediates.get(name)} <= set(found)
        assert {frozenset(run.seed for run in cell.runs) for cell in found.values()} == {frozenset(range(1, 6))}
        assert {plan.number_of_trials(settings, cell) for cell in found.values()} == {3}


def test_every_kept_head_is_scored_as_it_is(settings: Settings, cells: list[Cell]) -> None:
    variants = {"imdb-crossed"}
    kept = {
        (cell.before, cell.task)
        for cell in cells
        if cell.before in settings.intermediates and settings.intermediates[cell.before].head == "keep"
    }
    zero_shot = {(cell.before, cell.task) for cell in cells if cell.size == 0}
    assert {pair for pair in kept if pair[0] not in variants} == zero_shot


def test_only_pairs_that_are_run_are_scored_beforehand(settings: Settings, cells: list[Cell]) -> None:
    run = {(cell.model, cell.before, cell.task) for cell in cells}
    for entry in settings.transferability:
        for model in entry.models:
            assert {(model, before, task) for before in entry.intermediates for task in entry.tasks} <= run


def test_every_file_is_of_a_commit(settings: Settings) -> None:
    used = {settings.tasks[task].artifact for task in plan.expand(settings).tasks}
    for name in used:
        artifact = settings.artifacts[name or ""]
        for url in artifact.files.values() if isinstance(artifact, UrlArtifact) else []:
            assert re.search(r"/[0-9a-f]{12}([0-9a-f]{28})?/", url), url
            assert isinstance(artifact.sha256, dict) and set(artifact.sha256) == set(artifact.files)

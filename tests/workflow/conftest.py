"""One little study, run once; every test gets a copy of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# With --import-mode=importlib a folder of tests is not on the path by itself.
sys.path.insert(0, str(Path(__file__).parent))

from little_study import LittleStudy


@pytest.fixture(scope="session")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> LittleStudy:
    """A study that has never been run. Not to be changed: copy it."""
    return LittleStudy.make(tmp_path_factory.mktemp("untouched") / "study")


@pytest.fixture(scope="session")
def finished(untouched: LittleStudy, tmp_path_factory: pytest.TempPathFactory) -> LittleStudy:
    """The study after an undisturbed run on two cores. Not to be changed: copy it."""
    study = untouched.copied(tmp_path_factory.mktemp("finished") / "study")
    study.run(cores=2)
    return study


@pytest.fixture
def study(finished: LittleStudy, tmp_path: Path) -> LittleStudy:
    """A copy of the finished study, to be changed at will."""
    return finished.copied(tmp_path / "study")


@pytest.fixture
def fresh(untouched: LittleStudy, tmp_path: Path) -> LittleStudy:
    """A copy of the study that has never been run, to be changed at will."""
    return untouched.copied(tmp_path / "study")

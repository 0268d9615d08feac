"""What the settings' types accept, what they refuse, and what they fill in."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from transfer_atlas import settings
from transfer_atlas.settings import Artifact, Experiment, Recipe, Strict, Task

EXPERIMENT = {"models": ["m"], "tasks": ["t"]}
RECIPE = {"method": "finetune", "learning_rate": 1e-4}
TASK = {"type": "sequence_classification", "files": {"train": "a.csv"}}
SHA = "0" * 64


def models() -> list[type[BaseModel]]:
    """Every class of settings."""
    return [value for value in vars(settings).values() if isinstance(value, type) and issubclass(value, Strict)]


def test_every_class_is_strict_and_frozen() -> None:
    for model in models():
        assert model.model_config.get("extra") == "forbid", model
        assert model.model_config.get("strict"), model
        assert model.model_config.get("frozen"), model


def test_every_class_says_what_it_is() -> None:
    assert all(model.__doc__ for model in models())


@pytest.mark.parametrize(("seeds", "expected"), [(3, [1, 2, 3]), ([0, 7], [0, 7]), (1, [1])])
def test_seeds(seeds: Any, expected: list[int]) -> None:
    assert Experiment.model_validate({**EXPERIMENT, "seeds": seeds}).seeds == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": 0},
        {"seeds": True},
        {"seeds": []},
        {"seeds": [1, 1]},
        {"seeds": [1.0]},
        {"sizes": [-1]},
        {"sizes": [True]},
        {"sizes": [0.5]},
        {"sizes": ["10"]},
        {"sizes": []},
        {"depths": []},
        {"depths": [1, 1]},
        {"depths": 3},
        {"models": []},
        {"models": ["a/b"]},
        {"models": "m"},
        {"tasks": ["a b"]},
    ],
)
def test_impossible_experiments(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Experiment.model_validate({**EXPERIMENT, **wrong})


@pytest.mark.parametrize("name", ["a", "BERT-base_2.0", "3"])
def test_names(name: str) -> None:
    assert Experiment.model_validate({**EXPERIMENT, "models": [name]}).models == [name]


@pytest.mark.parametrize("name", ["", ".a", "-a", "a/b", "a b", "é", "a\n", "{a}", "a*"])
def test_names_that_a_path_or_a_wildcard_would_trip_over(name: str) -> None:
    with pytest.raises(ValidationError):
        Experiment.model_validate({**EXPERIMENT, "models": [name]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": "1e-4"},
        {"learning_rate": 0},
        {"learning_rate": 11.0},
        {"learning_rate": True},
        {"epochs": 0},
        {"epochs": 2.0},
        {"batch_size": "32"},
        {"warmup": 1.0},
        {"dropout": -0.1},
        {"clip": 0.0},
        {"method": "Finetune"},
        {"layer": -1},
        {"layer": "first"},
        {"select": "worst"},
        {"weight_decay": float("nan")},
    ],
)
def test_impossible_recipes(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate({**RECIPE, **wrong})


def test_whole_numbers_do_for_numbers_but_not_the_other_way_round() -> None:
    assert Recipe.model_validate({**RECIPE, "learning_rate": 1}).learning_rate == 1.0
    with pytest.raises(ValidationError):
        Recipe.model_validate({**RECIPE, "epochs": 3.0})


def test_clipping_can_be_switched_off() -> None:
    assert Recipe.model_validate({**RECIPE, "clip": None}).clip is None


@pytest.mark.parametrize("amount", [1, 500, 0.25])
def test_rows_to_carve(amount: float) -> None:
    assert Task.model_validate({**TASK, "carve": {"test": amount}}).carve.test == amount


@pytest.mark.parametrize("amount", [0, -1, 1.0, 0.0, True, "10", None])
def test_rows_that_cannot_be_carved(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({**TASK, "carve": {"test": amount}})


@pytest.mark.parametrize(
    ("kind", "metric"),
    [("sequence_classification", "accuracy"), ("pair_classification", "accuracy"), ("pair_regression", "pearson")],
)
def test_main_metric(kind: str, metric: str) -> None:
    assert Task.model_validate({**TASK, "type": kind}).main_metric == metric
    assert Task.model_validate({**TASK, "type": kind, "metric": "spearman"}).main_metric == "spearman"


@pytest.mark.parametrize(
    "source",
    [
        {"source": "wheel", "wheel": "a-b==1.0", "sha256": SHA},
        {"source": "wheel", "wheel": ["a==1.0", "b==1.0"], "parts": "*.zip.*", "sha256": {"b==1.0": SHA}},
        {"source": "hub", "repo": "a/b", "revision": "0" * 40, "sha256": {"config.json": SHA}},
        {"source": "url", "url": "http://localhost/a.zip"},
        {"source": "path", "path": "/data"},
    ],
    ids=lambda source: source["source"],
)
def test_sources(source: dict[str, Any]) -> None:
    assert TypeAdapter(Artifact).validate_python(source).source == source["source"]


@pytest.mark.parametrize(
    "source",
    [
        {"source": "wheel", "wheel": "a"},
        {"source": "wheel", "wheel": "a==1\n"},
        {"source": "wheel", "wheel": "a==1", "sha256": SHA.upper() + "F"},
        {"source": "hub", "repo": "bert-base-uncased", "revision": "0" * 40},
        {"source": "hub", "repo": "a/b", "revision": "main"},
        {"source": "hub", "repo": "a/b", "revision": "0" * 40, "repo_type": "space"},
        {"source": "url", "url": "ftp://a/b"},
        {"source": "url", "url": "file:///etc/passwd"},
        {"source": "path"},
        {"source": "git"},
        {},
    ],
)
def test_impossible_sources(source: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Artifact).validate_python(source)


def test_settings_survive_the_way_through_their_file() -> None:
    """The steps read what the Snakefile wrote as JSON."""
    whole = settings.Settings.model_validate(
        {
            "tasks": {"t": {**TASK, "score_range": [0, 1], "where": {"a": True, "b": 1, "c": 1.5, "d": "x"}}},
            "experiments": [{**EXPERIMENT, "seeds": 2, "sizes": [8, "all"]}],
        }
    )
    again = settings.Settings.model_validate_json(whole.model_dump_json())
    assert again == whole
    assert [type(value) for value in again.tasks["t"].where.values()] == [bool, int, float, str]

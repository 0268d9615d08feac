"""What transferability scores are computed of."""

from __future__ import annotations

from typing import Any

import pytest

from transfer_atlas.plan import State
from transfer_atlas.plan.scored import (
    Scored,
    head_layout,
    scored,
    scored_representations,
    scored_settings,
    scored_states,
    transferability_file,
)
from transfer_atlas.settings import Settings

TEXTS, PAIRS = "sequence_classification", "pair_classification"
TYPES = {"films": TEXTS, "books": TEXTS, "news": PAIRS, "tags": "token_labelling"}
SCORED = [{"models": ["tiny"], "tasks": ["films"], "intermediates": ["books"], "seeds": [2, 1], "examples": 50}]


def settings(
    entries: list[dict[str, Any]] = SCORED, recipe: dict[str, Any] | None = None, kind: str = "transformer"
) -> Settings:
    """Intermediate entries called as their tasks, all trained by one recipe."""
    return Settings.model_validate(
        {
            "artifacts": {"encoder": {"source": "path", "path": "encoder"}},
            "models": {"tiny": {"artifact": "encoder", "layers": 3, "kind": kind}},
            "tasks": {name: {"type": kind, "files": {"train": "train.csv"}} for name, kind in TYPES.items()},
            "recipes": {"fast": {"method": "finetune", "learning_rate": 1.0, **(recipe or {})}},
            "intermediates": {name: {"task": name, "recipe": "fast"} for name in TYPES},
            "experiments": [{"models": ["tiny"], "tasks": ["films"], "recipes": ["fast"]}],
            "transferability": entries,
        }
    )


def place(intermediate: str, task: str) -> Scored:
    return Scored("tiny", intermediate, task, (1,), 50)


def test_entries_that_name_the_same_are_one_job_with_all_they_ask_for() -> None:
    more = {**SCORED[0], "tasks": ["films", "news"], "seeds": 3, "examples": 20}
    assert scored(settings([*SCORED, more])) == [
        Scored("tiny", "books", "films", (1, 2, 3), 50),
        Scored("tiny", "books", "news", (1, 2, 3), 20),
    ]
    assert scored(settings([])) == []


def test_representations_are_named_once_and_without_the_tasks_own_training() -> None:
    (job,) = scored(settings())
    found = scored_representations(settings(), job)
    assert [(state.task, state.name, layout.name) for state, layout in found] == [
        ("films", "pretrained", "mean"),
        ("books", "pretrained", "mean"),
        ("films", "books.seed1", "mean"),
        ("films", "books.seed2", "mean"),
    ]
    assert scored_states(settings()) == [state for state, _ in found]
    assert job.trained[2] == State("tiny", "books", "films", 2)
    assert str(transferability_file(job)) == "results/transferability/tiny/books/films.csv"


def test_a_head_that_reads_something_else_needs_representations_of_its_own() -> None:
    configured = settings(recipe={"pooling": "first"})
    (job,) = scored(configured)
    names = [(state.name, layout.name) for state, layout in scored_representations(configured, job)]
    assert names[2:] == [(f"books.seed{n}", layout) for layout in ("mean", "first") for n in (1, 2)]


@pytest.mark.parametrize("pooling", ["mean", "cls", "first", "max", "pooler"])
def test_the_head_reads_what_it_was_trained_on(pooling: str) -> None:
    configured = settings(recipe={"pooling": pooling})
    for source, target in (("books", "films"), ("books", "news"), ("news", "films"), ("news", "news")):
        layout = head_layout(configured, place(source, target))
        assert layout is not None and layout.name == pooling and layout.parse(layout.name) == layout


def test_separate_texts_only_before_separate_texts() -> None:
    configured = settings(recipe={"pairs": "separate"})
    names = {
        (source, target): getattr(head_layout(configured, place(source, target)), "name", None)
        for source in ("books", "news")
        for target in ("films", "news")
    }
    assert names == {
        ("books", "films"): "mean",
        ("books", "news"): "mean",
        ("news", "films"): None,
        ("news", "news"): "mean.separate",
    }


def test_elmo_reads_no_pair_as_one_input() -> None:
    configured = settings(kind="elmo")
    assert head_layout(configured, place("books", "news")) is None
    assert head_layout(configured, place("news", "films")) is None
    layout = head_layout(configured, place("news", "news"))
    assert layout is not None and layout.name == "mean.separate"


def test_heads_that_read_no_single_vector_of_a_text() -> None:
    assert head_layout(settings(), place("tags", "films")) is None
    assert head_layout(settings(recipe={"head": "bilstm"}), place("books", "films")) is None


def test_what_the_scores_depend_on() -> None:
    (job,) = scored(settings())
    assert scored_settings(settings(), job) == {
        "seeds": (1, 2),
        "examples": 50,
        "source": TEXTS,
        "target": TEXTS,
        "head": "mean",
    }

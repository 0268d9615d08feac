"""A head goes on only among the same classes: said before any job where the tasks are prepared, else by the job."""

from __future__ import annotations

from typing import Any

import pytest

from transfer_atlas import atomic, plan, study
from transfer_atlas.configuration import problems
from transfer_atlas.errors import UserError
from transfer_atlas.plan import Run
from transfer_atlas.settings import Settings
from transfer_atlas.steps import train
from transfer_atlas.training import device
from transfer_atlas.training.cell import Job
from transfer_atlas.training.store import Store

# Whose classes the rows name.
CLASSIFIES = {"type": "sequence_classification", "files": {"train": "topics.jsonl"}}
MESSAGE = (
    "intermediates.kept.head: keep needs the same classes in the same order; topics has {} and genres has {}; "
    "name them alike with tasks.<name>.labels, or use drop"
)


def keeping(settings: Settings, **chain: Any) -> Settings:
    """Topics, then genres with the same head; keywords are settings of an entry between them."""
    config = settings.model_dump(mode="json")
    config["tasks"]["genres"] = CLASSIFIES
    config["tasks"]["moods"] = CLASSIFIES
    config["intermediates"] = {"kept": {"task": "topics", "recipe": "finetune", "head": "keep"}}
    if chain:
        config["intermediates"]["second"] = {"task": "genres", "recipe": "finetune", "after": "kept", **chain}
    target = {"tasks": ["moods" if chain else "genres"], "intermediates": ["second" if chain else "kept"]}
    config["experiments"] = [{"models": ["tiny"], "recipes": ["finetune"], "sizes": [16], "seeds": 1, **target}]
    config["experiments"].append({**config["experiments"][0], "intermediates": ["none"], "tasks": ["sentiment"]})
    return Settings.model_validate(config)


def check(settings: Settings) -> None:
    study.check_kept_heads(settings, plan.expand(settings))


def test_the_same_classes(results: Any, settings: Settings) -> None:
    for task in ("topics", "genres"):
        results.prepare(task, labels=["b", "a"])
    check(keeping(settings))


@pytest.mark.parametrize("labels", [["a", "c"], ["b", "a"], ["a", "b", "c"]])
def test_other_classes_or_another_order_stop_before_any_job(
    results: Any, settings: Settings, labels: list[str]
) -> None:
    results.prepare("topics")
    results.prepare("genres", labels=labels)
    with pytest.raises(UserError) as caught:
        check(keeping(settings))
    assert str(caught.value) == MESSAGE.format("a, b", ", ".join(labels))


def test_classes_are_not_known_before_a_task_is_prepared(results: Any, settings: Settings) -> None:
    check(keeping(settings))
    results.prepare("topics", labels=["other"])
    check(keeping(settings))
    atomic.write_json(plan.task_folder("genres") / "stats.json", {"rows": {}})
    check(keeping(settings))


def test_between_links_of_a_chain(results: Any, settings: Settings) -> None:
    for task in ("topics", "moods"):
        results.prepare(task)
    results.prepare("genres", labels=["a", "c"])
    with pytest.raises(UserError) as caught:
        check(keeping(settings, head="drop"))
    assert str(caught.value) == MESSAGE.format("a, b", "a, c")


def test_a_dropped_head_and_extraction_take_any_classes(results: Any, settings: Settings) -> None:
    results.prepare("topics")
    results.prepare("genres", labels=["a", "c"])
    config = keeping(settings).model_dump(mode="json")
    check(Settings.model_validate(problems.merge(config, {"intermediates": {"kept": {"head": "drop"}}})))
    config["experiments"][0]["recipes"] = ["extract"]
    check(Settings.model_validate(config))


def test_the_job_refuses_other_classes(results: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes before the model is loaded: there is none here."""
    monkeypatch.setattr(device, "prepare_process", lambda: None)
    kept = keeping(settings)
    results.prepare("topics")
    results.prepare("genres", labels=["a", "c"])
    cell = plan.expand(kept).cells["tiny/kept/genres/finetune/none/n16"]
    assert cell.runs == (Run(None, 1, 1),)
    job = Job(kept, plan.Bundle(cell.name, (cell,)), study.sources(), Store(plan.STORE))
    with pytest.raises(UserError) as caught:
        train.run(job)
    assert str(caught.value) == MESSAGE.format("a, b", "a, c")

"""A mistake in the configuration stops before any job, with one line that says how to mend it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from little_study import Call, LittleStudy

Mistake = Callable[[dict], None]


def complaint(call: Call) -> str:
    """The one line on the standard error, beside Snakemake's own on where it takes its profile from."""
    assert call.status == 1, call.words
    lines = [line for line in call.err.splitlines() if not line.startswith("Using workflow specific profile")]
    assert len(lines) == 1, call.err
    return lines[0]


def unknown_key(config: dict) -> None:
    config["recipes"]["extract"]["learning_rte"] = config["recipes"]["extract"].pop("learning_rate")
    config["recipes"]["extract"]["learning_rate"] = 1.0


def number_that_yaml_reads_as_text(config: dict) -> None:
    config["recipes"]["finetune"]["learning_rate"] = "1e-5"


def unknown_model(config: dict) -> None:
    config["experiments"][0]["models"] = ["tinny"]


def depth_beyond_the_layers(config: dict) -> None:
    config["experiments"][2]["depths"] = [0, 3]


@pytest.mark.parametrize(
    ("mistake", "parts"),
    [
        (unknown_key, ["recipes.extract.learning_rte", "is 0.01", "did you mean learning_rate?"]),
        (number_that_yaml_reads_as_text, ["recipes.finetune.learning_rate", '"1e-5"', "write 1.0e-5"]),
        (unknown_model, ["experiments[0].models[0]", '"tinny"', "there are tiny", "did you mean tiny?"]),
        (
            depth_beyond_the_layers,
            ["experiments[2].depths[1]", "is 3", "tiny has 2 layers; with reset_top allowed are 0 to 2"],
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_mistake_stops_before_any_job(fresh: LittleStudy, mistake: Mistake, parts: list[str]) -> None:
    mistake(fresh.config)
    fresh.configure()
    line = complaint(fresh.snakemake())
    file, number, _ = line.split(":", 2)
    assert file.endswith("config.yaml")
    # The line of the file that it points to holds the last part of the key, or the value.
    pointed_at = (fresh.folder / "config.yaml").read_text(encoding="utf-8").splitlines()[int(number) - 1]
    assert any(word in pointed_at for word in ("learning_rte", "1e-5", "tinny", "3"))
    for part in parts:
        assert part in line
    assert not fresh.results.exists()


def too_many_examples(config: dict) -> None:
    config["experiments"][0]["sizes"] = [48, 1000]


def too_many_intermediate_examples(config: dict) -> None:
    config["intermediates"]["reviews"]["size"] = 1000


@pytest.mark.parametrize(
    ("mistake", "rows"), [(too_many_examples, "120"), (too_many_intermediate_examples, "90")], ids=["target", "before"]
)
def test_a_train_size_beyond_the_prepared_data_stops_before_any_job(
    study: LittleStudy, mistake: Mistake, rows: str
) -> None:
    mistake(study.config)
    study.configure()
    logs = study.log_times()
    line = complaint(study.snakemake())
    assert "1000" in line
    assert rows in line
    assert study.log_times() == logs

"""Estimates of time: from arithmetic at first, from finished runs as soon as there are some."""

from __future__ import annotations

from typing import Any

import pytest

from transfer_atlas import estimate, plan
from transfer_atlas.estimate import Speed
from transfer_atlas.plan import Cell, Run

PLAIN = Cell("tiny", "none", "sentiment", "finetune", "none", 16)
ALL = Cell("tiny", "none", "sentiment", "finetune", "none", "all")
EXTRACT = Cell("tiny", "none", "sentiment", "extract", "none", 16)
# Two layers of 12 H^2 weights, two operations each, with H = 32 as in the fetched config.
FLOPS_PER_TOKEN = 2 * 2 * 12 * 32**2


def test_arithmetic_of_a_run(results: Any) -> None:
    results.prepare_everything()
    texts = 3 * (3 * 16) + 20 + 30  # three epochs forward and backward, then validation and test
    tokens = 3 + 1.4 * 10.0
    assert estimate.run_flops(results.settings, PLAIN) == pytest.approx(texts * tokens * FLOPS_PER_TOKEN)


def test_size_all_is_the_whole_training_split(results: Any) -> None:
    results.prepare_everything()
    same = Cell("tiny", "none", "sentiment", "finetune", "none", 100)
    assert estimate.run_flops(results.settings, ALL) == estimate.run_flops(results.settings, same)


def test_an_estimate_needs_nothing_on_disk(results: Any) -> None:
    assert estimate.run_flops(results.settings, PLAIN) > 0
    assert estimate.run_flops(results.settings, ALL) > estimate.run_flops(results.settings, PLAIN)


def test_long_texts_are_cut(results: Any) -> None:
    results.prepare_everything()
    short = results.settings.model_copy(deep=True)
    object.__setattr__(short.tasks["sentiment"], "max_length", 5)
    assert estimate.run_flops(short, PLAIN) == pytest.approx(estimate.run_flops(results.settings, PLAIN) * 5 / 17)


def test_speed_is_a_guess_without_finished_runs(results: Any) -> None:
    assert estimate.measured_speed(results.settings, []) == Speed(estimate.DEFAULT_FLOPS_PER_SECOND, False)


def test_speed_of_finished_runs(results: Any) -> None:
    results.prepare_everything()
    finished = [
        (PLAIN, {"facts": {"tokens": 1000, "seconds": 2.0}}),
        (EXTRACT, {"facts": {"tokens": 9, "seconds": 99}}),
    ]
    assert estimate.measured_speed(results.settings, finished) == Speed(3 * 1000 * FLOPS_PER_TOKEN / 2.0, True)


def test_wall_time_is_shared_by_cores(results: Any) -> None:
    results.prepare_everything()
    waiting = [(PLAIN, Run(None, seed)) for seed in (1, 2)]
    speed = Speed(1e6, True)
    one, two = (estimate.wall_seconds(results.settings, waiting, speed, cores) for cores in (1, 2))
    runs = 2 * estimate.run_flops(results.settings, PLAIN) / 1e6
    assert one == pytest.approx(runs + estimate.JOB_START_SECONDS)  # one cell is one job
    assert two == pytest.approx(one / 2)
    assert estimate.wall_seconds(results.settings, [], speed, 1) == 0


def test_heads_of_all_sizes_are_one_job(results: Any) -> None:
    sizes = [Cell("tiny", "none", "sentiment", "extract", "none", size) for size in (16, 32, "all")]
    waiting = [(cell, Run(None, seed)) for cell in sizes for seed in (1, 2)]
    seconds = estimate.wall_seconds(results.settings, waiting, Speed(1.0, True), 1)
    assert seconds == pytest.approx(6 * estimate.HEAD_RUN_SECONDS + estimate.JOB_START_SECONDS)


def test_every_intermediate_training_is_a_job(results: Any) -> None:
    before = [plan.intermediate_cell(results.settings, "tiny", "topics", seed) for seed in (1, 2)]
    waiting = [(cell, cell.runs[0]) for cell in before]
    speed = Speed(1e30, True)
    assert estimate.wall_seconds(results.settings, waiting, speed, 1) == pytest.approx(2 * estimate.JOB_START_SECONDS)


def test_heads_take_about_as_long_whatever_the_encoder(results: Any) -> None:
    assert estimate.run_seconds(results.settings, EXTRACT, Speed(1.0, True)) == estimate.HEAD_RUN_SECONDS


def test_every_job_has_a_beacon_of_its_own(results: Any) -> None:
    selected = plan.expand(results.settings)
    jobs = list(plan.bundles(results.settings, selected).values())
    states = plan.intermediate_states(results.settings, selected)
    jobs += [plan.bundle_before(results.settings, state) for state in states]
    beacons = {estimate.beacon_file(bundle) for bundle in jobs}
    assert len(beacons) == len(jobs)
    assert {beacon.parent for beacon in beacons} == {plan.RESULTS / "running"}

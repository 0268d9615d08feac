from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from transfer_atlas.plan import Cell, Run, Sources
from transfer_atlas.settings import Settings
from transfer_atlas.training.cell import Job, run_all
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.store import PREDICTIONS, WEIGHTS, Store

SETTINGS: dict[str, Any] = {
    "artifacts": {"files": {"source": "path", "path": "files"}},
    "models": {"tiny": {"artifact": "files", "layers": 3}},
    "tasks": {"toy": {"type": "sequence_classification", "files": {"train": "train.csv"}}},
    "recipes": {"extract": {"method": "extract", "learning_rate": 0.01}},
    "experiments": [{"models": ["tiny"], "tasks": ["toy"]}],
}
CELL = Cell("tiny", "none", "toy", "extract", "none", "all", (Run(None, 1), Run(None, 2)))


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leaves the signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    sources = Sources(lambda name: f"artifact {name}", lambda name: f"data {name}")
    return Job(Settings.model_validate(SETTINGS), CELL, sources, Store(tmp_path / "store"))


@pytest.fixture
def train(feature_data: Callable, recipe: Callable, tune_head: Callable) -> Callable[[Run, Keeper], Trained]:
    """Trains a head, and remembers which seeds it was asked for."""
    data, chosen = feature_data(), recipe(method="extract", learning_rate=0.01, head_dropout=0.1)

    def one(run: Run, keeper: Keeper) -> Trained:
        one.seeds.append(run.seed)  # type: ignore[attr-defined]
        return tune_head(data, chosen, seed=run.seed, observer=keeper)

    one.seeds = []  # type: ignore[attr-defined]
    return one


def test_each_run_is_trained_once(job: Job, train: Any) -> None:
    first = run_all(job, train)
    assert train.seeds == [1, 2]
    assert run_all(job, train) == first
    assert train.seeds == [1, 2]
    assert [result["identity"]["settings"]["seed"] for result in first] == [1, 2]
    assert {(v["split"], v["metric"]) for v in first[0]["values"]} == {
        (split, metric) for split in ("validation", "test") for metric in ("accuracy", "macro_f1", "matthews")
    }


def test_an_ignored_store_trains_anew_to_the_same_values(job: Job, train: Any) -> None:
    first = run_all(job, train)
    anew = replace(job, settings=job.settings.model_copy(update={"store": "ignore"}))
    again = run_all(anew, train)
    assert train.seeds == [1, 2, 1, 2]
    for a, b in zip(first, again, strict=True):
        assert a["values"] == b["values"]
        assert a["files"] == b["files"]


def test_a_run_that_cannot_be_trusted_is_trained_anew(job: Job, train: Any) -> None:
    first = run_all(job, train)
    path = job.store.folder(first[1]["digest"]) / PREDICTIONS
    path.write_bytes(path.read_bytes()[:-1])
    again = run_all(job, train)
    assert train.seeds == [1, 2, 2]
    assert again[1]["files"] == first[1]["files"]


def test_missing_weights_are_trained(job: Job, train: Any, feature_data: Callable, tune_head: Callable) -> None:
    """A run of which another step needs the weights is finished only with them."""
    target = replace(job, cell=replace(CELL, target="toy"))

    def with_weights(run: Run, keeper: Keeper) -> Trained:
        import torch

        return replace(train(run, keeper), weights={"encoder.w": torch.ones(2), "head.b": torch.zeros(1)})

    without = run_all(target, train)
    assert WEIGHTS not in without[0]["files"]
    whole = run_all(target, with_weights)
    assert train.seeds == [1, 2, 1, 2]
    assert WEIGHTS in whole[0]["files"]
    assert run_all(target, with_weights) == whole
    assert train.seeds == [1, 2, 1, 2]


def test_a_stopped_job_goes_on(job: Job, train: Any) -> None:
    """Stopped in the second run: the first is taken from the store, the second from its checkpoint."""
    whole = run_all(replace(job, store=Store(job.store.root.parent / "other")), train)
    train.seeds.clear()

    def stopping(run: Run, keeper: Keeper) -> Trained:
        step = keeper.step

        def stop_at_four(number: int, *rest: Any) -> None:
            if run.seed == 2 and number == 4:
                assert keeper.stop is not None
                keeper.stop.asked = True
            step(number, *rest)

        keeper.step = stop_at_four  # type: ignore[method-assign]
        return train(run, keeper)

    with pytest.raises(SystemExit):
        run_all(job, stopping)
    starts = []

    def resuming(run: Run, keeper: Keeper) -> Trained:
        start = keeper.start

        def remembered(total: int) -> Any:
            starts.append(start(total))
            return starts[-1]

        keeper.start = remembered  # type: ignore[method-assign]
        return train(run, keeper)

    results = run_all(job, resuming)
    assert train.seeds == [1, 2, 2]
    assert [snapshot.step for snapshot in starts] == [4]
    assert [result["files"] for result in results] == [result["files"] for result in whole]


def test_predictions_on_disk(job: Job, train: Any, feature_data: Callable) -> None:
    (result, _) = run_all(job, train)
    table = pq.read_table(job.store.folder(result["digest"]) / PREDICTIONS).to_pydict()
    data = feature_data()
    assert list(table) == ["split", "id", "label", "output_0", "output_1", "output_2"]
    assert table["split"] == ["validation"] * 9 + ["test"] * 7
    assert table["id"] == data.splits["validation"].ids + data.splits["test"].ids
    assert table["label"] == [*data.splits["validation"].labels, *data.splits["test"].labels]

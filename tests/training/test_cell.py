from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from transfer_atlas.plan import Bundle, Cell, Decontaminated, Run, Sources
from transfer_atlas.settings import Settings
from transfer_atlas.training.cell import Job, run_all
from transfer_atlas.training.checkpoint import Keeper
from transfer_atlas.training.head_training import HeadRun, train_heads
from transfer_atlas.training.outcome import Trained
from transfer_atlas.training.store import PREDICTIONS, WEIGHTS, Store

SETTINGS: dict[str, Any] = {
    "artifacts": {"files": {"source": "path", "path": "files"}},
    "models": {"tiny": {"artifact": "files", "layers": 3}},
    "tasks": {"toy": {"type": "sequence_classification", "files": {"train": "train.csv"}}},
    "recipes": {"extract": {"method": "extract", "learning_rate": 0.01}},
    "experiments": [{"models": ["tiny"], "tasks": ["toy"]}],
}
Runs = Sequence[tuple[Cell, Run]]
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
    sources = Sources(
        lambda name: f"artifact {name}", lambda name: f"data {name}", lambda name: Decontaminated(None, 100)
    )
    return Job(Settings.model_validate(SETTINGS), Bundle(CELL.name, (CELL,)), sources, Store(tmp_path / "store"))


@pytest.fixture
def train(feature_data: Callable, recipe: Callable) -> Callable[[Runs, Keeper], list[Trained]]:
    """Trains heads together, and remembers which seeds it was asked for."""
    data, chosen = feature_data(), recipe(method="extract", learning_rate=0.01, head_dropout=0.1)

    def all_of(runs: Runs, keeper: Keeper) -> list[Trained]:
        all_of.seeds += [run.seed for _, run in runs]  # type: ignore[attr-defined]
        return train_heads([HeadRun(data, chosen, cell.size, run.seed) for cell, run in runs], keeper)

    all_of.seeds = []  # type: ignore[attr-defined]
    return all_of


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


def test_missing_weights_are_trained(job: Job, train: Any) -> None:
    """A run of which another step needs the weights is finished only with them."""
    target = replace(job, bundle=Bundle(CELL.name, (replace(CELL, trains="toy"),)))

    def with_weights(runs: Runs, keeper: Keeper) -> list[Trained]:
        weights = {"encoder.w": torch.ones(2), "head.b": torch.zeros(1)}
        return [replace(trained, weights=weights) for trained in train(runs, keeper)]

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

    def stopping(runs: Runs, keeper: Keeper) -> list[Trained]:
        step = keeper.step

        def stop_at_four(number: int, *rest: Any) -> None:
            if runs[0][1].seed == 2 and number == 4:
                assert keeper.stop is not None
                keeper.stop.asked = True
            step(number, *rest)

        keeper.step = stop_at_four  # type: ignore[method-assign]
        return train(runs, keeper)

    with pytest.raises(SystemExit):
        run_all(job, stopping)
    starts = []

    def resuming(runs: Runs, keeper: Keeper) -> list[Trained]:
        start = keeper.start

        def remembered(total: int) -> Any:
            starts.append(start(total))
            return starts[-1]

        keeper.start = remembered  # type: ignore[method-assign]
        return train(runs, keeper)

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


# --- runs that are trained together -------------------------------------------------------------------------

OTHER = replace(CELL, recipe="again", runs=(Run(None, 2), Run(None, 3)))


def all_together(runs: Runs) -> list[list[int]]:
    return [list(range(len(runs)))]


@pytest.fixture
def heads(job: Job) -> Job:
    """Two cells of one bundle; their recipes differ in name only, so they share a run."""
    recipes = {**SETTINGS["recipes"], "again": SETTINGS["recipes"]["extract"]}
    settings = Settings.model_validate({**SETTINGS, "recipes": recipes})
    return replace(job, settings=settings, bundle=Bundle("tiny/none/toy/extract.mean", (CELL, OTHER)))


def test_a_run_of_two_cells_is_trained_once(heads: Job, train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    results = run_all(heads, train, all_together)
    assert train.seeds == [1, 2, 3]
    assert [result["identity"]["settings"]["seed"] for result in results] == [1, 2, 2, 3]
    assert results[1] == results[2]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "runs 1-3/3  tiny/none/toy/extract/none/nall seed=1 and 2 more"
    assert [line.split("  ")[0] for line in lines[1:]] == ["run 1/3", "run 2/3", "run 3/3"]


def test_results_do_not_depend_on_what_is_trained_together(heads: Job, train: Any) -> None:
    together = run_all(heads, train, all_together)
    alone = run_all(replace(heads, store=Store(heads.store.root.parent / "other")), train)
    assert [result["values"] for result in together] == [result["values"] for result in alone]
    assert [result["files"] for result in together] == [result["files"] for result in alone]


def test_finished_runs_are_left_out_of_a_stack(heads: Job, train: Any) -> None:
    run_all(replace(heads, bundle=Bundle("one", (replace(CELL, runs=(Run(None, 2),)),))), train)
    train.seeds.clear()
    run_all(heads, train, all_together)
    assert train.seeds == [1, 3]


def stopped_at_four(train: Any) -> Callable[[Runs, Keeper], list[Trained]]:
    """The training, asked to stop at its fourth update."""

    def stopping(runs: Runs, keeper: Keeper) -> list[Trained]:
        step = keeper.step

        def stop(number: int, *rest: Any) -> None:
            assert keeper.stop is not None
            keeper.stop.asked = number == 4
            step(number, *rest)

        keeper.step = stop  # type: ignore[method-assign]
        return train(runs, keeper)

    return stopping


def test_a_stopped_stack_goes_on(heads: Job, train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    whole = run_all(replace(heads, store=Store(heads.store.root.parent / "other")), train, all_together)
    with pytest.raises(SystemExit):
        run_all(heads, stopped_at_four(train), all_together)
    (checkpoint,) = heads.store.root.rglob("checkpoint.safetensors")
    capsys.readouterr()
    results = run_all(heads, train, all_together)
    assert capsys.readouterr().out.startswith(
        "runs 1-3/3  tiny/none/toy/extract/none/nall seed=1 and 2 more, goes on at step 4\n"
    )
    assert not checkpoint.exists()
    assert [result["files"] for result in results] == [result["files"] for result in whole]


def test_a_checkpoint_of_another_stack_is_not_read(heads: Job, train: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Seed 4 was not asked for when the stack was stopped."""
    with pytest.raises(SystemExit):
        run_all(heads, stopped_at_four(train), all_together)
    capsys.readouterr()
    more = replace(OTHER, runs=(*OTHER.runs, Run(None, 4)))
    results = run_all(replace(heads, bundle=Bundle("more", (CELL, more))), train, all_together)
    assert "goes on" not in capsys.readouterr().out
    alone = run_all(replace(heads, store=Store(heads.store.root.parent / "other")), train)
    assert [result["files"] for result in results[:4]] == [result["files"] for result in alone]
    assert not list(heads.store.root.rglob("checkpoint.safetensors"))


def test_a_run_that_another_job_holds_is_waited_for_and_taken(heads: Job, train: Any) -> None:
    """Between the first look and the lock another job has finished a run of the stack."""

    def meanwhile(runs: Runs) -> list[list[int]]:
        run_all(replace(heads, bundle=Bundle("one", (replace(CELL, runs=(Run(None, 2),)),))), train)
        train.seeds.clear()
        return all_together(runs)

    results = run_all(heads, train, meanwhile)
    assert train.seeds == [1, 3]
    assert [result["identity"]["settings"]["seed"] for result in results] == [1, 2, 2, 3]

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from transfer_atlas.training import checkpoint
from transfer_atlas.training.checkpoint import Keeper, StopRequest, load_snapshot, save_snapshot
from transfer_atlas.training.loop import Snapshot
from transfer_atlas.training.progress import Progress

DIGEST = "a" * 64


def snapshot(step: int = 3) -> Snapshot:
    tensors = {
        "model.w": torch.randn(4, 5, generator=torch.Generator().manual_seed(step)),
        "adam.step.w": torch.tensor(float(step)),
        "dropout": torch.Generator().manual_seed(step).get_state(),
    }
    return Snapshot(step, 120, 4.5, tensors, best_score=0.75, chosen_step=2, arithmetic="cpu float32")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoint.safetensors"


@pytest.mark.parametrize("best_score", [None, 0.0, 1 / 3])
def test_round_trip(best_score: float | None, path: Path) -> None:
    saved = snapshot()
    saved.best_score = best_score
    save_snapshot(path, saved, DIGEST)
    loaded = load_snapshot(path, DIGEST)
    assert loaded is not None
    assert loaded.tensors.keys() == saved.tensors.keys()
    assert all(torch.equal(loaded.tensors[name], saved.tensors[name]) for name in saved.tensors)
    for name in ("step", "tokens", "seconds", "best_score", "chosen_step", "arithmetic"):
        assert getattr(loaded, name) == getattr(saved, name), name


def test_another_runs_checkpoint_is_ignored(path: Path) -> None:
    save_snapshot(path, snapshot(), DIGEST)
    assert load_snapshot(path, "b" * 64) is None


def test_no_checkpoint(path: Path) -> None:
    assert load_snapshot(path, DIGEST) is None


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_checkpoint_is_ignored(share: float, path: Path) -> None:
    save_snapshot(path, snapshot(), DIGEST)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert load_snapshot(path, DIGEST) is None


def test_garbage_is_ignored(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(os.urandom(2000))
    assert load_snapshot(path, DIGEST) is None
    path.write_bytes(b"\x00" * 2000)
    assert load_snapshot(path, DIGEST) is None


@pytest.mark.parametrize("metadata", [None, {}, {"snapshot": "no json"}, {"snapshot": "{}"}, {"snapshot": "[]"}])
def test_other_safetensors_files_are_ignored(metadata: dict[str, str] | None, path: Path) -> None:
    path.parent.mkdir()
    save_file({"w": torch.zeros(2)}, path, metadata=metadata)
    assert load_snapshot(path, DIGEST) is None


def test_written_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_snapshot(path, snapshot(3), DIGEST)

    def half(tensors: object, name: Path, metadata: object) -> None:
        Path(name).write_bytes(b"half a file")
        raise OSError("no space left on device")

    monkeypatch.setattr(checkpoint, "save_file", half)
    with pytest.raises(OSError, match="no space"):
        save_snapshot(path, snapshot(4), DIGEST)
    loaded = load_snapshot(path, DIGEST)
    assert loaded is not None
    assert loaded.step == 3
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# --- the job's observer ------------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> Iterator[None]:
    """Leaves the signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def keep(path: Path) -> Callable[..., Keeper]:
    def make(every: float, stop: StopRequest | None = None) -> Keeper:
        return Keeper(path, DIGEST, "a run", Progress(1000.0, 1), every, stop)

    return make


def steps(keeper: Keeper, last: int, total: int) -> None:
    for step in range(1, last + 1):
        keeper.step(step, total, torch.tensor(0.5), 10 * step, lambda step=step: snapshot(step))


def test_a_new_run_starts_at_the_beginning(keep: Callable[..., Keeper]) -> None:
    assert keep(60.0).start(9) is None


def test_checkpoints_are_written_every_so_often_but_not_at_the_end(keep: Callable[..., Keeper], path: Path) -> None:
    steps(keep(1e9), 8, 9)
    assert not path.exists()
    steps(keep(0.0), 9, 9)
    found = keep(60.0).start(9)
    assert found is not None
    assert found.step == 8


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_stop_saves_and_leaves_with_a_status_of_its_own(
    number: signal.Signals,
    keep: Callable[..., Keeper],
    path: Path,
    handlers: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    keeper = keep(1e9, StopRequest())
    steps(keeper, 3, 9)
    assert not path.exists()
    os.kill(os.getpid(), number)
    with pytest.raises(SystemExit) as stopped:
        keeper.step(4, 9, torch.tensor(0.5), 40, lambda: snapshot(4))
    assert stopped.value.code == 143
    assert "stopped as asked at step 4 of 9" in capsys.readouterr().out
    found = keep(60.0).start(9)
    assert found is not None
    assert found.step == 4


def test_a_stop_at_the_last_step_loses_nothing(keep: Callable[..., Keeper], path: Path, handlers: None) -> None:
    """Either the run may end, or what it did so far is kept."""
    keeper = keep(1e9, StopRequest())
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        keeper.step(9, 9, torch.tensor(0.5), 90, lambda: snapshot(9))
    except SystemExit:
        found = load_snapshot(path, DIGEST)
        assert found is not None
        assert found.step == 9

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from transfer_atlas.identity import digest_of
from transfer_atlas.training.store import CHECKPOINT, PREDICTIONS, RESULT, WEIGHTS, Store

IDENTITY: dict[str, Any] = {"settings": {"seed": 1}, "data": {}, "model": {}, "code": "0"}
DIGEST = digest_of(IDENTITY)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def finish(store: Store, weights: bool = False) -> dict[str, Any]:
    with store.locked(DIGEST) as folder:
        (folder / PREDICTIONS).write_bytes(b"predictions")
        (folder / CHECKPOINT).write_bytes(b"checkpoint")
        if weights:
            (folder / WEIGHTS).write_bytes(b"weights")
        return store.finish(DIGEST, {"identity": IDENTITY, "values": [{"value": 0.5}], "facts": {}})


def rewrite(store: Store, **changes: Any) -> None:
    path = store.folder(DIGEST) / RESULT
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_finished_run_is_found(store: Store) -> None:
    result = finish(store)
    assert store.finished(DIGEST) == store.peek(DIGEST) == result
    assert result["digest"] == DIGEST
    assert result["values"] == [{"value": 0.5}]
    assert store.folder(DIGEST) == store.root / DIGEST[:2] / DIGEST
    assert store.digests() == [DIGEST]


def test_nothing_is_finished_at_first(store: Store) -> None:
    assert store.finished(DIGEST) is None
    assert store.peek(DIGEST) is None
    assert store.digests() == []


def test_without_its_result_a_run_is_not_finished(store: Store) -> None:
    finish(store)
    (store.folder(DIGEST) / RESULT).unlink()
    assert store.finished(DIGEST) is None
    assert store.digests() == [DIGEST]


def test_finishing_ends_the_checkpoint(store: Store) -> None:
    finish(store)
    assert not (store.folder(DIGEST) / CHECKPOINT).exists()


@pytest.mark.parametrize("file", [PREDICTIONS, WEIGHTS])
def test_a_changed_or_missing_file_is_not_trusted(file: str, store: Store) -> None:
    finish(store, weights=True)
    path = store.folder(DIGEST) / file
    path.write_bytes(b"other")
    assert store.finished(DIGEST) is None
    path.unlink()
    assert store.finished(DIGEST) is None


def test_the_result_of_another_identity_is_not_trusted(store: Store) -> None:
    finish(store)
    rewrite(store, identity={**IDENTITY, "code": "1"})
    assert store.finished(DIGEST) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"identity": 1}', '{"files": {}}'])
def test_a_spoilt_result_is_not_trusted(text: str, store: Store) -> None:
    finish(store)
    (store.folder(DIGEST) / RESULT).write_text(text)
    assert store.finished(DIGEST) is None


def test_weights_that_are_needed_must_be_there(store: Store) -> None:
    finish(store)
    assert store.finished(DIGEST) is not None
    assert store.finished(DIGEST, need_weights=True) is None
    finish(store, weights=True)
    assert store.finished(DIGEST, need_weights=True) is not None
    assert store.finished(DIGEST) is not None


def test_a_removed_run_is_forgotten(store: Store) -> None:
    finish(store)
    store.remove(DIGEST)
    assert store.finished(DIGEST) is None
    assert store.digests() == []


HOLDER = """
import sys, time
from pathlib import Path
from transfer_atlas.training.store import Store
with Store(Path(sys.argv[1])).locked(sys.argv[2]) as folder:
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_waits_and_a_killed_one_lets_go(store: Store) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store.root), DIGEST], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Timeout):
            FileLock(store.folder(DIGEST) / "lock").acquire(timeout=0.2)
        holder.kill()
        holder.wait()
        before = time.monotonic()
        with store.locked(DIGEST) as folder:
            assert folder.is_dir()
        assert time.monotonic() - before < 5
    finally:
        holder.kill()
        holder.wait()


def test_runs_of_other_digests_are_not_locked(store: Store) -> None:
    with store.locked(DIGEST), store.locked("f" * 64) as folder:
        assert folder.is_dir()


def test_what_a_killed_writer_left_is_removed(store: Store) -> None:
    finish(store)
    left = store.folder(DIGEST) / ".checkpoint.safetensors.abc.partial"
    left.write_bytes(b"half a checkpoint")
    with store.locked(DIGEST):
        assert not left.exists()
    assert store.finished(DIGEST) is not None

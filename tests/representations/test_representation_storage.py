from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transfer_atlas import atomic
from transfer_atlas.representations import storage


def arrays(n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(n)
    return random.normal(size=(n, 4, 8)).astype(np.float32), random.integers(3, 9, size=n)


def test_round_trip_through_memory_maps(tmp_path: Path) -> None:
    for n, split in enumerate(("train", "validation", "test"), start=3):
        storage.write_split(tmp_path / "mean", split, *arrays(n))
    for n, split in enumerate(("train", "validation", "test"), start=3):
        states, lengths = storage.read_split(tmp_path / "mean", split)
        expected_states, expected_lengths = arrays(n)
        assert isinstance(states, np.memmap)
        assert states.dtype == np.float32
        assert np.array_equal(states, expected_states)
        assert np.array_equal(lengths, expected_lengths)
        assert np.array_equal(states[[2, 0], 3], expected_states[[2, 0], 3])


def test_stored_states_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    storage.write_split(tmp_path, "train", *arrays())
    states, _ = storage.read_split(tmp_path, "train")
    states[0] = 0
    states.flush()
    again, _ = storage.read_split(tmp_path, "train")
    assert np.array_equal(again, arrays()[0])


def test_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_split(tmp_path, "train", *arrays(5))

    def half(stream: object, array: np.ndarray, **_: object) -> None:
        stream.write(b"half")  # type: ignore[attr-defined]
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", half)
    with pytest.raises(OSError, match="no space"):
        storage.write_split(tmp_path, "train", *arrays(6))
    states, _ = storage.read_split(tmp_path, "train")
    assert np.array_equal(states, arrays(5)[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.lengths.npy", "train.npy"]


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(storage.states_file(tmp_path, "train"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"object|pickle"):
        storage.read_split(tmp_path, "train")


def test_manifest(tmp_path: Path) -> None:
    said = {"truncated": {"train": 3}, "shape": [4, 8], "precision": "float32", "pooling": "mean"}
    atomic.write_json(tmp_path / storage.MANIFEST, said)
    assert storage.read_manifest(tmp_path) == said

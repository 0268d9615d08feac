from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transfer_atlas import atomic
from transfer_atlas.representations import storage


def arrays(n: int = 5, dtype: str = "float32") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(n)
    return random.normal(size=(n, 4, 8)).astype(dtype), random.integers(3, 9, size=n), np.ones(n, dtype=np.int64)


def write(folder: Path, split: str, states: np.ndarray, lengths: np.ndarray, units: np.ndarray) -> None:
    with storage.new_states(folder, split, states.shape, str(states.dtype)) as array:
        array[:] = states
    storage.write_lengths(folder, split, lengths, units)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_round_trip_through_memory_maps(dtype: str, tmp_path: Path) -> None:
    for n, split in enumerate(("train", "validation", "test"), start=3):
        write(tmp_path / "mean", split, *arrays(n, dtype))
    for n, split in enumerate(("train", "validation", "test"), start=3):
        stored = storage.read_split(tmp_path / "mean", split)
        states, lengths, units = arrays(n, dtype)
        assert isinstance(stored.states, np.memmap)
        assert stored.states.dtype == dtype
        assert np.array_equal(stored.states, states)
        assert np.array_equal(stored.lengths, lengths)
        assert np.array_equal(stored.units, units)
        assert np.array_equal(stored.states[[2, 0], 3], states[[2, 0], 3])


def test_stored_states_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    write(tmp_path, "train", *arrays())
    states = storage.read_split(tmp_path, "train").states
    states[0] = 0
    states.flush()  # type: ignore[attr-defined]
    assert np.array_equal(storage.read_split(tmp_path, "train").states, arrays()[0])


def test_states_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path, "train", *arrays(5))
    with pytest.raises(OSError, match="no space"), storage.new_states(tmp_path, "train", (6, 4, 8), "float32") as array:
        array[:3] = 1.0
        raise OSError("no space left on device")
    assert np.array_equal(storage.read_split(tmp_path, "train").states, arrays(5)[0])
    names = ["train.lengths.npy", "train.npy", "train.units.npy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("failing", [0, 1])
def test_lengths_are_written_whole_or_not_at_all(failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, lengths, units = arrays(5)
    write(tmp_path, "train", *arrays(5))
    save, calls = np.save, []

    def half(stream: object, array: np.ndarray, **options: object) -> None:
        calls.append(array)
        if len(calls) > failing:
            stream.write(b"half")  # type: ignore[attr-defined]
            raise OSError("no space left on device")
        save(stream, array, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(np, "save", half)
    with pytest.raises(OSError, match="no space"):
        storage.write_lengths(tmp_path, "train", lengths + failing, units)
    stored = storage.read_split(tmp_path, "train")
    assert np.array_equal(stored.lengths, lengths + failing)
    assert np.array_equal(stored.units, units)
    assert len(list(tmp_path.iterdir())) == 3


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.save(storage.states_file(tmp_path, "train"), np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"object|pickle"):
        storage.read_split(tmp_path, "train")


def test_manifest(tmp_path: Path) -> None:
    said = {"truncated": {"train": 3}, "shape": [4, 8], "precision": "float32", "layout": "mean"}
    atomic.write_json(tmp_path / storage.MANIFEST, said)
    assert storage.read_manifest(tmp_path) == said

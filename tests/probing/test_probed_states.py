"""What is probed: the stored states of a run, unless its training diverged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from transfer_atlas import plan
from transfer_atlas.errors import UserError
from transfer_atlas.plan import State
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.steps.probe_layers import read_states
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.tasks.storage import write_split

PRETRAINED = State("tiny", plan.NONE, "texts", None)
FINETUNED = State("tiny", plan.NONE, "texts", 2, recipe="fast", size="all")
SETTINGS = Settings.model_validate(
    {
        "artifacts": {"encoder": {"source": "path", "path": "encoder"}},
        "models": {"tiny": {"artifact": "encoder", "layers": 3}},
        "tasks": {"texts": {"type": "sequence_classification", "files": {"train": "train.csv"}}},
        "recipes": {"fast": {"method": "finetune", "learning_rate": 1.0}},
        "experiments": [{"models": ["tiny"], "tasks": ["texts"], "recipes": ["fast"]}],
    }
)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[State, np.ndarray]:
    """States of both in the working folder, the same for train and validation."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    states = {state: random.normal(size=(5, 4, 8)).astype(np.float32) for state in (PRETRAINED, FINETUNED)}
    for split in ("train", "validation"):
        examples = Examples([str(row) for row in range(5)], ["a"] * 5, None, np.arange(5))
        write_split(plan.task_folder("texts"), split, examples)
        for state, values in states.items():
            folder = plan.representation_folder(state, plan.probed_layout(SETTINGS, state).name)
            with storage.new_states(folder, split, values.shape, "float32") as array:
                array[:] = values
            storage.write_lengths(folder, split, np.full(5, 3), np.ones(5, dtype=np.int64))
    return states


def test_states_and_labels_of_both(stored: dict[State, np.ndarray]) -> None:
    found = read_states(SETTINGS, FINETUNED)
    assert list(found) == ["pretrained", "finetuned"]
    for name, state in zip(found, (PRETRAINED, FINETUNED), strict=True):
        for split in found[name]:
            assert np.array_equal(split.states, stored[state])
            assert split.labels.tolist() == list(range(5))


def test_a_diverged_training_is_named(stored: dict[State, np.ndarray]) -> None:
    folder = plan.representation_folder(FINETUNED, plan.probed_layout(SETTINGS, FINETUNED).name)
    values = stored[FINETUNED].copy()
    values[3, 2] = np.nan
    with storage.new_states(folder, "validation", values.shape, "float32") as array:
        array[:] = values
    with pytest.raises(UserError, match=r"not finite.*recipes\.fast.*seed 2"):
        read_states(SETTINGS, FINETUNED)

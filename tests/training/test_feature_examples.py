from __future__ import annotations

import numpy as np
import pytest
import torch

from transfer_atlas.training.feature_examples import Source, StackedExamples, rows_of

STATES = np.arange(6 * 3 * 16, dtype=np.float32).reshape(6, 3, 16)
OTHER = -STATES


def test_rows_are_the_states_themselves() -> None:
    rows = rows_of(STATES)
    assert rows.shape == (18, 16)
    assert rows.data_ptr() == STATES.ctypes.data
    assert torch.equal(rows[2 * 3 + 1], torch.from_numpy(STATES[2, 1]))


def test_rows_are_filled_up_to_whole_vectors() -> None:
    rows = rows_of(STATES[:, :, :5])
    assert rows.shape == (18, 16)
    assert torch.equal(rows[:, :5], torch.from_numpy(STATES[:, :, :5]).reshape(18, 5))
    assert not rows[:, 5:].any()


def test_states_that_cannot_be_written_are_read() -> None:
    states = STATES.copy()
    states.flags.writeable = False
    assert torch.equal(rows_of(states), rows_of(STATES))


@pytest.mark.parametrize("layers", [None, 3])
def test_batches_are_each_heads_own(layers: int | None) -> None:
    """Three heads, two of one source; examples 5, 1, 3 of each, at layer 1 or at all layers."""
    chosen = torch.tensor([[5, 1, 3]] * 3)
    layer = 0 if layers else 1
    examples = StackedExamples([Source(2, rows_of(STATES)), Source(1, rows_of(OTHER))], chosen * 3 + layer, layers)
    assert len(examples) == 3
    batch = examples.batch(torch.tensor([[0, 1], [2, 2], [1, 0]]))
    assert batch.shape == ((3, 16, 16) if layers is None else (3, 3, 16, 16))
    for head, source, rows in ((0, STATES, [5, 1]), (1, STATES, [3, 3]), (2, OTHER, [1, 5])):
        expected = source[rows, 1] if layers is None else source[rows].swapaxes(0, 1)
        assert np.array_equal(batch[head][..., :2, :], expected)

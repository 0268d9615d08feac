from __future__ import annotations

import torch

from transfer_atlas.training.feature_examples import FeatureExamples


def test_batches_are_rows_of_the_states() -> None:
    states = torch.arange(24.0).view(4, 2, 3)
    examples = FeatureExamples(states, torch.tensor([0, 1, 1, 0]), torch.tensor([5, 3, 9, 4]))
    assert len(examples) == 4
    assert examples.sizes().tolist() == [5, 3, 9, 4]
    assert torch.equal(examples.batch(torch.tensor([2, 0]), torch.device("cpu")), states[[2, 0]])

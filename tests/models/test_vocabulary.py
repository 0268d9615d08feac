from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.vocabulary import compact, restored

Load = Callable[..., Pretrained]
USED = torch.tensor([2, 3, 7, 11, 40])


def test_compaction_keeps_the_used_rows_in_order(load: Load) -> None:
    encoder = load().encoder
    original = encoder.get_input_embeddings().weight.detach().clone()

    full = compact(encoder, USED)

    shrunk = encoder.get_input_embeddings()
    assert torch.equal(shrunk.weight, original[USED])
    assert shrunk.weight.requires_grad
    assert torch.equal(full.weight, original)
    table = full.lookup()
    assert torch.equal(shrunk(table[USED]), original[USED])
    assert set(table[[0, 1, 4, 94]].tolist()) == {-1}


def test_training_the_compact_rows_leaves_what_was_set_aside(load: Load) -> None:
    encoder = load().encoder
    full = compact(encoder, USED)
    before = full.weight.clone()
    with torch.no_grad():
        encoder.get_input_embeddings().weight.add_(1.0)
    assert torch.equal(full.weight, before)


@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_restored_has_every_row_in_its_place(decay: float, load: Load) -> None:
    encoder = load().encoder
    original = encoder.get_input_embeddings().weight.detach().clone()
    full = compact(encoder, USED)
    shrunk = encoder.get_input_embeddings()
    with torch.no_grad():
        shrunk.weight.mul_(2.0)

    with restored(encoder, full, decay):
        whole = encoder.get_input_embeddings().weight.detach().clone()

    expected = original * decay
    expected[USED] = original[USED] * 2.0
    assert torch.equal(whole, expected)
    assert encoder.get_input_embeddings() is shrunk


def test_an_error_inside_leaves_the_encoder_compacted(load: Load) -> None:
    encoder = load().encoder
    full = compact(encoder, USED)
    with pytest.raises(KeyError), restored(encoder, full):
        raise KeyError
    assert len(encoder.get_input_embeddings().weight) == len(USED)


def test_only_the_word_embeddings_change(load: Load) -> None:
    encoder = load().encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    compact(encoder, USED)
    changed = [name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])]
    assert changed == ["embeddings.word_embeddings.weight"]

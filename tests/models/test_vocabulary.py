from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.models.vocabulary import Vocabulary, compact_copy, holding, word_embeddings

Load = Callable[..., Pretrained]
USED = torch.tensor([2, 3, 7, 11, 40])
WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture
def encoder(load: Load) -> nn.Module:
    return load().encoder


@pytest.fixture
def compacted(encoder: nn.Module) -> tuple[nn.Module, Vocabulary]:
    return compact_copy(encoder, USED)


def test_the_copy_holds_the_used_rows_in_order(encoder: nn.Module, compacted: tuple[nn.Module, Vocabulary]) -> None:
    copy, vocabulary = compacted
    shrunk, original = copy.get_input_embeddings(), word_embeddings(encoder)  # type: ignore[operator]
    assert torch.equal(shrunk.weight, original[USED])
    assert shrunk.weight.requires_grad
    table = vocabulary.lookup()
    assert torch.equal(shrunk(table[USED]), original[USED])
    assert set(table[[0, 1, 4, 94]].tolist()) == {-1}


def test_nothing_but_the_word_embeddings_differs(encoder: nn.Module, compacted: tuple[nn.Module, Vocabulary]) -> None:
    before, after = encoder.state_dict(), compacted[0].state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == [WORDS]


def test_training_the_copy_leaves_the_original(encoder: nn.Module, compacted: tuple[nn.Module, Vocabulary]) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with torch.no_grad():
        for parameter in compacted[0].parameters():
            parameter.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("used", [[0, 2, 3], [2, 3]], ids=["in use", "not in use"])
def test_padding_gets_no_gradient(used: list[int], encoder: nn.Module) -> None:
    copy, _ = compact_copy(encoder, torch.tensor(used))
    shrunk = copy.get_input_embeddings()  # type: ignore[operator]
    shrunk(torch.arange(len(used))).sum().backward()
    assert shrunk.weight.grad.any(1).tolist() == [row != 0 for row in used]


WANTED = {"some trained": [0, 3, 11, 50], "all trained": [2, 40], "none trained": [5], "all": list(range(95))}


@pytest.mark.parametrize("decay", [1.0, 0.9])
@pytest.mark.parametrize("wanted", WANTED.values(), ids=WANTED.keys())
def test_held_rows_are_the_trained_ones_and_the_decayed_originals(
    wanted: list[int], decay: float, encoder: nn.Module, compacted: tuple[nn.Module, Vocabulary]
) -> None:
    copy, vocabulary = compacted
    original = word_embeddings(encoder)
    assert len(original) == 95
    shrunk = copy.get_input_embeddings()  # type: ignore[operator]
    with torch.no_grad():
        shrunk.weight.mul_(2.0)
    ids = torch.tensor(wanted)

    with holding(copy, vocabulary, ids, original[ids], decay):
        held = word_embeddings(copy).clone()
        assert torch.equal(copy.get_input_embeddings()(torch.arange(len(ids))), held)  # type: ignore[operator]

    expected = original * decay
    expected[USED] = original[USED] * 2.0
    assert torch.equal(held, expected[ids])
    assert copy.get_input_embeddings() is shrunk  # type: ignore[operator]


def test_holding_changes_neither_the_originals_nor_the_trained_rows(
    encoder: nn.Module, compacted: tuple[nn.Module, Vocabulary]
) -> None:
    copy, vocabulary = compacted
    original, trained = word_embeddings(encoder).clone(), word_embeddings(copy).clone()
    with holding(copy, vocabulary, torch.arange(95), word_embeddings(encoder), 0.5):
        word_embeddings(copy).zero_()
    assert torch.equal(word_embeddings(encoder), original)
    assert torch.equal(word_embeddings(copy), trained)


def test_an_error_inside_leaves_the_encoder_compacted(
    encoder: nn.Module, compacted: tuple[nn.Module, Vocabulary]
) -> None:
    copy, vocabulary = compacted
    with pytest.raises(KeyError), holding(copy, vocabulary, torch.arange(95), word_embeddings(encoder)):
        raise KeyError
    assert len(word_embeddings(copy)) == len(USED)

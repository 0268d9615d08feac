from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from transfer_atlas.models.encoder import Pretrained
from transfer_atlas.training.token_examples import TokenisedExamples, tokenise

Draw = Callable[..., list[str]]
Load = Callable[..., Pretrained]
CPU = torch.device("cpu")


def tokens(pretrained: Pretrained, examples: TokenisedExamples, row: int) -> list[str]:
    start, length = int(examples.starts[row]), int(examples.lengths[row])
    return pretrained.tokenizer.convert_ids_to_tokens(examples.input_ids[start : start + length].tolist())


def of(
    pretrained: Pretrained, texts: list[str], pairs: list[str] | None = None, max_length: int = 16
) -> TokenisedExamples:
    labels = np.arange(len(texts), dtype=np.int64)
    return tokenise(pretrained.tokenizer, texts, pairs, labels, max_length, pretrained.position_offset)


def test_texts_with_their_special_tokens(load: Load) -> None:
    for kind, first, last in (("bert", "[CLS]", "[SEP]"), ("roberta", "<s>", "</s>")):
        pretrained = load(kind)
        examples = of(pretrained, ["w1 w2", "", "w3"])
        assert tokens(pretrained, examples, 0) == [first, "w1", "w2", last]
        assert tokens(pretrained, examples, 1) == [first, last]
        assert tokens(pretrained, examples, 2) == [first, "w3", last]
        assert examples.sizes().tolist() == [4, 2, 3]
        assert len(examples) == 3


def test_pairs_and_their_token_types(load: Load) -> None:
    pretrained = load("bert")
    examples = of(pretrained, ["w1 w2", "w4"], ["w3", ""])
    assert tokens(pretrained, examples, 0) == ["[CLS]", "w1", "w2", "[SEP]", "w3", "[SEP]"]
    assert tokens(pretrained, examples, 1) == ["[CLS]", "w4", "[SEP]", "[SEP]"]
    assert examples.token_type_ids.tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 1]


def test_a_tokenizer_without_token_types_means_zeros(load: Load) -> None:
    pretrained = load("roberta")
    examples = of(pretrained, ["w1"], ["w2 w3"])
    assert tokens(pretrained, examples, 0) == ["<s>", "w1", "</s>", "</s>", "w2", "w3", "</s>"]
    assert examples.token_type_ids.tolist() == [0] * 7


def test_truncation_is_counted(load: Load) -> None:
    pretrained = load()
    words = " ".join(["w1"] * 30)
    fits = " ".join(["w2"] * 6)
    examples = of(pretrained, [words, fits, words, "w3"], max_length=8)
    assert examples.truncated == 2
    assert examples.sizes().tolist() == [8, 8, 8, 3]
    assert tokens(pretrained, examples, 0)[-1] == "[SEP]"


def test_the_longer_text_of_a_pair_is_truncated_first(load: Load) -> None:
    pretrained = load()
    examples = of(pretrained, [" ".join(["w1"] * 30), "w5"], ["w2 w3", "w6"], max_length=10)
    assert tokens(pretrained, examples, 0) == ["[CLS]", *["w1"] * 5, "[SEP]", "w2", "w3", "[SEP]"]
    assert examples.truncated == 1


@pytest.mark.parametrize(("labels", "dtype"), [(np.array([1, 0]), torch.int64), (np.array([1.5, 0.25]), torch.float32)])
def test_targets(labels: np.ndarray, dtype: torch.dtype, load: Load) -> None:
    examples = tokenise(load().tokenizer, ["w1", "w2"], None, labels, 16, 0)
    assert examples.targets.dtype == dtype
    assert examples.targets.tolist() == labels.tolist()


def test_a_batch_packs_its_rows_in_order(load: Load) -> None:
    pretrained = load()
    batch = of(pretrained, ["w1 w2 w3", "w4", "", "w5 w6"]).batch(torch.tensor([3, 0, 2]), CPU)
    names = pretrained.tokenizer.convert_ids_to_tokens(batch.input_ids[0, : batch.tokens].tolist())
    assert " ".join(names) == "[CLS] w5 w6 [SEP] [CLS] w1 w2 w3 [SEP] [CLS] [SEP]"
    assert batch.position_ids[0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, *[0] * batch.packing.filler]
    assert batch.packing.lengths.tolist() == [4, 5, 2]
    assert batch.tokens == 11


def test_taking_rows_and_batching_them_is_batching_the_rows(load: Load, sentences: Draw) -> None:
    for kind in ("bert", "roberta"):
        examples = of(load(kind), sentences(20, seed=1), sentences(20, seed=2))
        chosen = np.array([7, 3, 19, 0, 3])
        taken = examples.take(chosen)
        rows = torch.tensor([4, 0, 2])
        first, second = taken.batch(rows, CPU), examples.batch(torch.from_numpy(chosen)[rows], CPU)
        assert len(taken) == 5
        assert taken.targets.tolist() == chosen.tolist()
        for name in ("input_ids", "token_type_ids", "position_ids"):
            assert torch.equal(getattr(first, name), getattr(second, name)), name
        assert torch.equal(first.packing.lengths, second.packing.lengths)


def test_vocabulary_and_new_ids(load: Load) -> None:
    examples = of(load(), ["w5 w1", "w1"])
    used = examples.vocabulary()
    # [CLS], [SEP], w1, w5 behind five special tokens.
    assert used.tolist() == [2, 3, 6, 10]
    table = torch.full((95,), -1)
    table[used] = torch.arange(4)
    renamed = examples.with_ids(table)
    assert renamed.input_ids.tolist() == [0, 3, 2, 1, 0, 2, 1]
    assert torch.equal(used[renamed.input_ids], examples.input_ids)
    assert renamed.targets is examples.targets

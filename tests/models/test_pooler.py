"""The pooler that comes with a model: taken as transformers has it, copied before it is trained, missed in words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel

from transfer_atlas.errors import UserError
from transfer_atlas.models.encoder import load_pretrained
from transfer_atlas.models.heads.pooled import PooledHead
from transfer_atlas.models.loading import frozen_pooler
from transfer_atlas.models.pooler import Pooler, pooler_after

Make = Callable[..., Path]

WITH_POOLER = ("bert", "roberta", "albert", "mpnet")
WITHOUT_POOLER = ("electra", "xlnet", "distilbert")


def pooler_in(folder: Path) -> Pooler:
    pooler = load_pretrained(folder, with_pooler=True).pooler
    assert pooler is not None
    return pooler


@pytest.mark.parametrize("kind", WITH_POOLER)
def test_equals_the_stock_models(kind: str, make_encoder: Make) -> None:
    stock = AutoModel.from_pretrained(make_encoder(kind), dtype=torch.float32).eval()
    inputs = {"input_ids": torch.arange(5, 17).view(3, 4), "attention_mask": torch.ones(3, 4, dtype=torch.int64)}
    with torch.no_grad():
        expected = stock(**inputs)
        found = pooler_in(make_encoder(kind))(expected.last_hidden_state[:, 0])
    torch.testing.assert_close(found, expected.pooler_output)
    assert float(found.std()) > 0.1


def test_only_where_it_is_asked_for(make_encoder: Make) -> None:
    pretrained = load_pretrained(make_encoder())
    assert pretrained.pooler is None
    assert frozen_pooler(pretrained, None, torch.device("cpu")) is None
    for with_pooler in (False, True):
        encoder = load_pretrained(make_encoder(), with_pooler=with_pooler).encoder
        assert not any("pooler" in name for name in encoder.state_dict())


def without(weights: dict[str, Tensor], *names: str) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if name not in names}


@pytest.mark.parametrize("lacking", [("pooler.dense.weight", "pooler.dense.bias"), ("pooler.dense.bias",)])
def test_files_without_one(lacking: tuple[str, ...], make_encoder: Make, tmp_path: Path) -> None:
    """transformers would draw it at random."""
    folder = Path(shutil.copytree(make_encoder("roberta"), tmp_path / "model"))
    weights = without(load_file(folder / "model.safetensors"), *lacking)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_pretrained(folder).pooler is None
    with pytest.raises(UserError) as error:
        load_pretrained(folder, with_pooler=True)
    assert str(error.value) == (
        f"{folder}: holds no pretrained pooler for recipes.<name>.pooling: pooler; "
        "pooling: cls reads the classification token's state without it"
    )


@pytest.mark.parametrize("kind", WITHOUT_POOLER)
def test_architectures_without_one(kind: str, make_encoder: Make) -> None:
    with pytest.raises(UserError, match="holds no pretrained pooler"):
        load_pretrained(make_encoder(kind), with_pooler=True)


def test_after_a_run(make_encoder: Make, tmp_path: Path) -> None:
    """That which the run trained along; the pretrained one where it trained none. Either way a copy."""
    pretrained = pooler_in(make_encoder())
    before = {name: value.clone() for name, value in pretrained.state_dict().items()}
    trained = {f"head.pooler.{name}": value + 1 for name, value in before.items()}
    output = {"head.output.weight": torch.ones(3, 32)}
    save_file({**output, **trained}, tmp_path / "pooler.safetensors")
    save_file(output, tmp_path / "first.safetensors")

    after = pooler_after(pretrained, tmp_path / "pooler.safetensors")
    others = [pooler_after(pretrained, start) for start in (None, tmp_path / "first.safetensors")]

    for name, value in before.items():
        assert torch.equal(after.state_dict()[name], value + 1)
        for other in others:
            assert torch.equal(other.state_dict()[name], value)
    for pooler in (after, *others):
        torch.nn.init.zeros_(pooler.dense.weight)
    assert torch.equal(pretrained.dense.weight, before["dense.weight"])


@pytest.mark.parametrize(("pooling", "sequences"), [("first", 1), ("pooler", 2)])
def test_heads_that_cannot_read_it(pooling: str, sequences: int) -> None:
    with pytest.raises(ValueError, match="needs a pooler, and one text"):
        PooledHead(
            4,
            2,
            layers=1,
            hidden=None,
            dropout=0.0,
            pooling=pooling,
            sequences=sequences,
            spans=0,
            generator=torch.Generator(),
            pooler=Pooler(torch.nn.Linear(4, 4)),
        )

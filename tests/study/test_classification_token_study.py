"""`pooling: cls` through the steps of a study, with XLNet, whose classification token is the last."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, XLNetTokenizer

from transfer_atlas import atomic, plan, study
from transfer_atlas.representations import storage
from transfer_atlas.settings import Settings
from transfer_atlas.steps import extract_features, prepare_task, train, train_heads, train_sequence_heads
from transfer_atlas.tasks.storage import read_split
from transfer_atlas.training.cell import Job
from transfer_atlas.training.store import Store

WORDS = 80
SPECIAL = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "<eod>", "<eop>")
CLS = {"pooling": "cls", "learning_rate": 1e-2, "epochs": 1}
LITTLE = {
    "artifacts": {"encoder": {"source": "path", "path": "encoder"}},
    "models": {"tiny": {"artifact": "encoder", "layers": 3}},
    "tasks": {
        "target": {
            "type": "pair_classification",
            "max_length": 24,
            "files": {"train": "target.csv"},
            "fields": {"text_pair": "other"},
        }
    },
    "recipes": {
        "tuned": {"method": "finetune", "precision": "float32", **CLS},
        "probe": {"method": "extract", "layer": "each", **CLS},
        "apart": {"method": "extract", "pairs": "separate", **CLS},
        "mixed": {"method": "extract", "head": "scalar_mix_linear", **CLS},
    },
    "experiments": [
        {"models": ["tiny"], "tasks": ["target"], "recipes": ["tuned", "probe", "apart", "mixed"], "seeds": 1}
    ],
}


@pytest.fixture
def settings(on_the_cpu: Path, make_encoder: Callable[..., Path], sentences: Callable) -> Settings:
    """A study whose task is prepared, in the working folder."""
    settings = Settings.model_validate(LITTLE)
    atomic.write_json(plan.manifest_file("encoder"), {"digest": "encoder"})
    folder = plan.model_folder(settings, "tiny")
    shutil.copytree(make_encoder("xlnet", vocab_size=len(SPECIAL) + WORDS), folder)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    words = [(f"▁w{k}", -1.0) for k in range(WORDS)]
    XLNetTokenizer(vocab=[*((token, 0.0) for token in SPECIAL), *words]).save_pretrained(folder)
    pairs = zip(sentences(40, seed=1, words=WORDS), sentences(40, seed=2, words=WORDS), strict=True)
    lines = ["text,other,label", *(f"{a},{b},{'same' if a[1] == b[1] else 'other'}" for a, b in pairs)]
    Path("target.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    prepare_task.run("target", settings.tasks["target"], on_the_cpu, plan.task_folder("target"))
    return settings


def stock_states(settings: Settings, texts: list[str], pairs: list[str] | None) -> np.ndarray:
    """States of `<cls>` in transformers' own model, [N, layers + 1, H]."""
    folder = plan.model_folder(settings, "tiny")
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(
        texts,
        pairs,
        padding=True,
        truncation=True,
        max_length=24,
        return_tensors="pt",
        return_token_type_ids=True,
    )
    with torch.no_grad():
        layers = torch.stack(model(**inputs, output_hidden_states=True).hidden_states, dim=2)
    found: np.ndarray = layers[inputs["input_ids"] == tokenizer.cls_token_id].numpy()
    return found


def test_it_is_trained_stored_and_probed(settings: Settings) -> None:
    selected = plan.expand(settings)
    (state,) = plan.states(settings, selected, "tiny", "target")
    test = read_split(plan.task_folder("target"), "test")
    joint = stock_states(settings, test.texts, test.pairs)
    first, second = (stock_states(settings, texts, None) for texts in (test.texts, test.pairs))
    apart = np.concatenate([first, second, np.abs(first - second), first * second], axis=2)
    for layout, expected in {"cls": joint, "classification": joint, "cls.separate": apart}.items():
        folder = plan.representation_folder(state, layout)
        extract_features.run(settings, state, layout, folder)
        stored = storage.read_split(folder, "test")
        np.testing.assert_allclose(stored.states, expected, rtol=1e-3, atol=1e-4)
        assert stored.units.tolist() == [1] * len(test)

    steps = {"tuned": train, "extract.cls": train_heads, "extract.cls.separate": train_heads}
    depths: dict[str, set[int | None]] = {}
    for name, bundle in plan.bundles(settings, selected).items():
        step = steps.get(name.rsplit("/", 1)[1], train_sequence_heads)
        step.run(Job(settings, bundle, study.sources(), Store(plan.STORE)))
        for row in pq.read_table(plan.table_file(name)).to_pylist():
            depths.setdefault(row["recipe"], set()).add(row["depth"])
    assert depths == {"tuned": {None}, "probe": {0, 1, 2, 3}, "apart": {None}, "mixed": {None}}

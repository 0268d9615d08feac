"""A real encoder of the RoBERTa family, saved in half precision; skipped where it does not lie beside the project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from transfer_atlas.layout import Layout
from transfer_atlas.models.encoder import Pretrained, load_pretrained
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.settings import Engine, Recipe, Task
from transfer_atlas.tasks.examples import Examples
from transfer_atlas.training.metrics import scores
from transfer_atlas.training.task_data import TaskData
from transfer_atlas.training.unit_examples import units_of

FOLDER = Path(__file__).parents[3] / "shared" / "models" / "granite-30m-english"
PRAISE, BLAME = ("wonderful", "moving", "brilliant", "charming"), ("dreadful", "tedious", "clumsy", "lifeless")
THINGS = ("film", "plot", "cast", "ending", "score")

pytestmark = pytest.mark.skipif(not (FOLDER / "model.safetensors").is_file(), reason="its files are not here")


@pytest.fixture(scope="module")
def granite() -> Pretrained:
    return load_pretrained(FOLDER, layers=6, max_length=512)


def test_a_pair_is_tokenised_as_robertas(granite: Pretrained) -> None:
    encoded = granite.tokenizer("A good film.", "A bad one.")
    tokens = granite.tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    assert tokens == ["<s>", "A", "Ġgood", "Ġfilm", ".", "</s>", "</s>", "A", "Ġbad", "Ġone", ".", "</s>"]
    assert "token_type_ids" not in encoded
    assert (granite.position_offset, granite.longest_input) == (2, 512)


def test_all_layers_equal_the_stock_model(granite: Pretrained) -> None:
    texts = ["A good film.", "It was neither short nor, in the end, any good: a pity.", "No", "Une comédie légère 🎉"]
    pairs = ["A bad one.", "No!", "The cast does what it can with a script that wants everything at once.", "?"]
    stock = AutoModel.from_pretrained(FOLDER, dtype=torch.float32, attn_implementation="eager").eval()
    inputs = AutoTokenizer.from_pretrained(FOLDER)(texts, pairs, padding=True, return_tensors="pt")
    examples = units_of(
        granite, Examples([*"abcd"], texts, pairs, np.zeros(4, dtype=np.int64)), Layout("tokens", False, None, None), 64
    )
    batch = examples.batch(torch.arange(4), torch.device("cpu")).inputs
    encoder = granite.encoder.eval()
    for engine in (Engine(), Engine(batching="padded")):
        with torch.no_grad():
            expected = stock(**inputs, output_hidden_states=True).hidden_states
            found = encoding_of(encoder, engine)(batch)
        assert len(found) == len(expected) == 7
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs[inputs["attention_mask"].bool()], rtol=1e-4, atol=1e-4)


def opinions(n: int, seed: int) -> Examples:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    texts = [
        f"The {random.choice(THINGS)} is {random.choice(PRAISE if label else BLAME)}, the {random.choice(THINGS)} long."
        for label in labels
    ]
    return Examples([str(row) for row in range(n)], texts, None, labels)


def test_forty_updates_learn(granite: Pretrained, recipe: Callable[..., Recipe], tune: Callable) -> None:
    task = Task.model_validate({"type": "sequence_classification", "files": {"train": "train.csv"}, "max_length": 32})
    splits = {
        split: opinions(n, seed) for seed, (split, n) in enumerate({"train": 80, "validation": 8, "test": 60}.items())
    }
    data = TaskData.of(task, ["blame", "praise"], splits, granite, Layout("classification", False, None, None))
    settings = {"learning_rate": 1e-4, "epochs": 4, "batch_size": 8, "pooling": "cls", "drop": 0.1}
    trained = tune(data, recipe(**settings), encoder=granite, keep_weights=False)
    assert trained.fitted.steps == 40
    assert (
        scores("sequence_classification", trained.splits["test"].outputs, data.splits["test"].labels)["accuracy"] > 0.9
    )

"""Small random encoders, saved like those of the hub, and texts for them.

What needs torch is imported where it is used, so that tests without models start at once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from transfer_atlas.models.encoder import Pretrained

WORDS = [f"w{k}" for k in range(90)]
# RoBERTa's family pads with 1, which is also where its positions begin.
SPECIAL_TOKENS = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "roberta": {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"},
}
LIKE_ROBERTA = ("roberta", "xlm-roberta", "camembert", "mpnet")
# What architectures with names of their own call the sizes of the others.
SIZES: dict[str, dict[str, int]] = {
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 66},
    "xlnet": {"d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 48},
}
SIZES_OF_BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
}


def _save_tokenizer(folder: Path, kind: str) -> dict[str, int]:
    """Save a fast tokenizer of whole words; its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertTokenizer, PreTrainedTokenizerFast

    special = SPECIAL_TOKENS["roberta" if kind in LIKE_ROBERTA else "bert"]
    vocabulary = {token: index for index, token in enumerate([*special.values(), *WORDS])}
    names = {f"{name}_token": token for name, token in special.items()}
    if kind == "bert":
        BertTokenizer(vocab=vocabulary).save_pretrained(folder)
        return vocabulary
    words = Tokenizer(models.WordLevel(vocabulary, unk_token=special["unk"]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    cls, sep = special["cls"], special["sep"]
    second, inputs = "", ["input_ids", "attention_mask"]
    if kind == "xlnet":
        second, inputs = ":1", [*inputs, "token_type_ids"]
    words.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} {sep} $B{second} {sep}{second}",
        special_tokens=[(token, vocabulary[token]) for token in (cls, sep)],
    )
    PreTrainedTokenizerFast(tokenizer_object=words, model_input_names=inputs, **names).save_pretrained(folder)
    return vocabulary


@pytest.fixture(scope="session")
def make_encoder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Save a random encoder of a `model_type`; keywords are further settings of its config. Equal calls share one."""
    import torch
    from transformers import AutoConfig, AutoModel

    from transfer_atlas.training import device

    device.prepare_process()
    made: dict[str, Path] = {}

    def make(kind: str = "bert", **settings: Any) -> Path:
        key = f"{kind} {sorted(settings.items())}"
        if key in made:
            return made[key]
        folder = tmp_path_factory.mktemp(kind)
        vocabulary = _save_tokenizer(folder, kind)
        config = AutoConfig.for_model(
            kind,
            **{
                "vocab_size": len(vocabulary),
                **SIZES.get(kind, SIZES_OF_BERT),
                "type_vocab_size": 1 if kind in LIKE_ROBERTA else 2,
                "pad_token_id": 1 if kind in LIKE_ROBERTA else 0,
                # Large enough that attention is far from uniform.
                "initializer_range": 0.15,
                **settings,
            },
        )
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(7)
            model = AutoModel.from_config(config)
            for parameter in model.parameters():
                # A fresh model's biases are 0 and its LayerNorms 1: as pretrained ones they would hide mistakes.
                parameter.add_(0.05 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        made[key] = folder
        return folder

    return make


@pytest.fixture(scope="session")
def load(make_encoder: Callable[..., Path]) -> Callable[..., Pretrained]:
    """Load a random encoder anew; arguments as for `make_encoder`."""
    from transfer_atlas.models.encoder import load_pretrained

    return lambda kind="bert", **settings: load_pretrained(make_encoder(kind, **settings))


@pytest.fixture(scope="session")
def sentences() -> Callable[..., list[str]]:
    """Draw `n` texts of `shortest` to `longest` words of the first `words` of the vocabulary."""

    def draw(n: int, *, seed: int = 0, shortest: int = 1, longest: int = 12, words: int = len(WORDS)) -> list[str]:
        random = np.random.default_rng(seed)
        lengths = random.integers(shortest, longest + 1, size=n)
        return [" ".join(random.choice(WORDS[:words], size=length)) for length in lengths]

    return draw

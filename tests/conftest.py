"""Small random encoders, saved like those of the hub, and texts for them.

What needs torch is imported where it is used, so that tests without models start at once.
"""

from __future__ import annotations

import json
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

ELMO_OPTIONS: dict[str, Any] = {
    "lstm": {
        "cell_clip": 0.8,
        "proj_clip": 0.5,
        "use_skip_connections": True,
        "n_layers": 2,
        "projection_dim": 5,
        "dim": 7,
    },
    "char_cnn": {
        "embedding": {"dim": 3},
        "filters": [[1, 2], [2, 3], [4, 4]],
        "n_highway": 2,
        "n_characters": 262,
        "max_characters_per_token": 12,
        "activation": "relu",
    },
    # What only training needed stays in the published files too.
    "n_train_tokens": 768648884,
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


def _save_elmo_weights(path: Path, options: dict[str, Any]) -> None:
    """Draw weights of the shapes that the options ask for and write them as bilm-tf does."""
    import h5py

    random = np.random.default_rng(3)
    cnn, lstm = options["char_cnn"], options["lstm"]
    n_filters, cell, out = sum(n for _, n in cnn["filters"]), lstm["dim"], lstm["projection_dim"]
    with h5py.File(path, "w") as file:

        def draw(name: str, *shape: int) -> None:
            file[name] = random.normal(scale=0.7, size=shape).astype(np.float32)

        draw("char_embed", 261, cnn["embedding"]["dim"])
        for index, (width, number) in enumerate(cnn["filters"]):
            draw(f"CNN/W_cnn_{index}", 1, width, cnn["embedding"]["dim"], number)
            draw(f"CNN/b_cnn_{index}", number)
        for index in range(cnn.get("n_highway", 0)):
            for part in ("carry", "transform"):
                draw(f"CNN_high_{index}/W_{part}", n_filters, n_filters)
                draw(f"CNN_high_{index}/b_{part}", n_filters)
        if n_filters != out:
            draw("CNN_proj/W_proj", n_filters, out)
            draw("CNN_proj/b_proj", out)
        for direction in range(2):
            for layer in range(lstm["n_layers"]):
                name = f"RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/LSTMCell"
                draw(f"{name}/W_0", 2 * out, 4 * cell)
                draw(f"{name}/B", 4 * cell)
                draw(f"{name}/W_P_0", cell, out)


@pytest.fixture(scope="session")
def make_elmo(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Save a random ELMo model in the original files; `lstm` and `char_cnn` change these sections of its options.

    Weights are so large and clips so tight that clipping happens.
    """

    def make(lstm: dict[str, Any] | None = None, char_cnn: dict[str, Any] | None = None) -> Path:
        options = {
            **ELMO_OPTIONS,
            "lstm": {**ELMO_OPTIONS["lstm"], **(lstm or {})},
            "char_cnn": {**ELMO_OPTIONS["char_cnn"], **(char_cnn or {})},
        }
        folder = tmp_path_factory.mktemp("elmo")
        (folder / "tiny_options.json").write_text(json.dumps(options), encoding="utf-8")
        _save_elmo_weights(folder / "tiny_weights.hdf5", options)
        return folder

    return make

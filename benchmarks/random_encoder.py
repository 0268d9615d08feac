"""Write an encoder of XLM-R-base's shape with random weights, and a tokenizer whose few words span its vocabulary.

python -m benchmarks.random_encoder FOLDER WORDS [name=value ...]
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

SHAPE = {
    "vocab_size": 250_002,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "pad_token_id": 1,
}
SPECIAL = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>"}


def vocabulary(words: int, size: int) -> dict[str, int]:
    """`w0`, `w1`, ... at equal distances up to the last id, after the special tokens."""
    special = {token: index for index, token in enumerate(SPECIAL.values())}
    first, last = len(special), size - 1
    return {**special, **{f"w{k}": first + k * (last - first) // max(1, words - 1) for k in range(words)}}


def write(folder: Path, words: int, **shape: int) -> None:
    """Write config.json, weights (safetensors) and tokenizer into `folder`."""
    settings = {**SHAPE, **shape}
    ids = vocabulary(words, settings["vocab_size"])
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=SPECIAL["unk"]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [(SPECIAL[name], ids[SPECIAL[name]]) for name in ("cls", "sep")]
    cls, sep = SPECIAL["cls"], SPECIAL["sep"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}", pair=f"{cls} $A {sep} {sep} $B {sep}", special_tokens=ends
    )
    names = {f"{name}_token": token for name, token in SPECIAL.items()}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model("xlm-roberta", **settings)).save_pretrained(folder)


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[3:])
    write(Path(sys.argv[1]), int(sys.argv[2]), **{name: int(value) for name, value in pairs})

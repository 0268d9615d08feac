"""The tokenizer of an encoder, as its files say and as its family was pretrained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer

from transfer_atlas.errors import UserError

# Encoders that were pretrained with the text that a token belongs to; the others know one segment, or none.
SEGMENTED = ("bert", "electra", "albert", "xlnet")


def load_tokenizer(folder: Path, kind: str) -> Any:
    """Load the fast tokenizer in `folder` for an encoder of this `model_type`, never from the network.

    Raises:
        UserError: It has no vocabulary, or adds no special tokens.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    # Without its files a tokenizer knows special tokens only, and every word is unknown.
    if not getattr(tokenizer, "is_fast", False) or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(f"{folder}: has no tokenizer.json, so no fast tokenizer")
    if (folder / "tokenizer.json").is_file():
        _take_from(tokenizer.backend_tokenizer, Tokenizer.from_file(str(folder / "tokenizer.json")))
    single, pair = (tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True))
    if not 0 < single < pair:
        lacking = "a text" if single == 0 else "the two texts of a pair"
        raise UserError(
            f"{folder}: tokenizer.json has no post_processor that puts {lacking} between special tokens, as the "
            "encoder was pretrained; take the file from the model's original repository"
        )
    # Not what tokenizers give by default: those of XLNet and ALBERT, and all that are saved without a class, leave
    # segments out, which the encoder would take for pairs of one text.
    segments = ["token_type_ids"] if kind in SEGMENTED else []
    tokenizer.model_input_names = ["input_ids", *segments, "attention_mask"]
    return tokenizer


def _take_from(backend: Any, written: Tokenizer) -> None:
    """Make a tokenizer of transformers do what its own tokenizer.json says.

    Its class rebuilds these parts from tokenizer_config.json and, where that says nothing, from defaults: cased models
    are then lowercased and lose their accents.
    """
    backend.model = written.model
    backend.normalizer = written.normalizer
    backend.pre_tokenizer = written.pre_tokenizer
    # Without one the class's own, which is that of the family.
    if written.post_processor is not None:
        backend.post_processor = written.post_processor


def classification_place(tokenizer: Any) -> int:
    """Where in a tokenised text its classification token stands: 0, the first, or -1, the last (XLNet).

    Raises:
        UserError: There is none.
    """
    around = tokenizer("")["input_ids"]
    for place in (0, -1):
        if around and tokenizer.cls_token_id == around[place]:
            return place
    raise UserError(
        f"{tokenizer.name_or_path}: its tokenizer puts no classification token at an end of a text, so "
        "recipes.<name>.pooling: cls has nothing to read; use first or mean"
    )

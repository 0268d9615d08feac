"""Which head is which: from the settings' words to modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from transfer_atlas.models.heads.bcn import Bcn
from transfer_atlas.models.heads.bi_attention import BiAttentionHead
from transfer_atlas.models.heads.crf import CrfTagger, LinearChainCrf
from transfer_atlas.models.heads.esim import Esim
from transfer_atlas.models.heads.pooled import PooledHead
from transfer_atlas.models.heads.tag_schemes import impossible
from transfer_atlas.models.heads.tagger import BiLstmTagger, LinearTagger
from transfer_atlas.models.pooler import Pooler
from transfer_atlas.settings import Head, Pooling


def new_head(
    kind: Head,
    *,
    layers: int,
    features: int,
    outputs: int,
    hidden: int,
    head_layers: int,
    dropout: float,
    pooling: Pooling,
    unit: Literal["example", "word"],
    sequences_per_example: Literal[1, 2],
    spans_per_example: Literal[0, 1, 2],
    tag_names: Sequence[str] | None,
    generator: torch.Generator,
    pooler: Pooler | None = None,
) -> nn.Module:
    """A head before its first update: `Sequences` -> [B, outputs] for examples, [T, outputs] for words.

    Args:
        kind: What the settings call it.
        layers: L, layers of states that it gets; mixed where there are several (Peters et al. 2018, eq. 1).
        features: H, width of the states.
        outputs: K, classes or tags; 1 for regression.
        hidden: Width of hidden layers, and of each direction of LSTMs.
        head_layers: LSTM layers of `bilstm` and `bilstm_crf`.
        dropout: Probability before linear maps and LSTMs. Give it a stream before training (`dropout.give_stream`).
        pooling: One vector of a text or span: `mean`, `first` or `max` of its units, or the first through the `pooler`;
            `cls` where the classification token is the only unit.
        unit: Whether an output belongs to an example or, in labelling, to each word.
        sequences_per_example: 2 where sequences 2i and 2i + 1 are the two texts of example i. ESIM and bi-attention
            need 2, whether the texts were encoded one by one or together.
        spans_per_example: 0 where no spans are marked; 2 where an example may mark two.
        tag_names: Tags of a BIO or BIOES scheme, in order of outputs: a CRF then rules out impossible neighbours. None
            where labels mark no spans.
        generator: Where initial weights come from; on the CPU.
        pooler: For `pooling: pooler`; it becomes a part of the head.

    Raises:
        ValueError: for a head that cannot read such examples.
    """
    if unit == "word":
        return _new_tagger(kind, layers, features, outputs, hidden, head_layers, dropout, tag_names, generator)
    pairs = sequences_per_example == 2
    match kind:
        case "linear" | "scalar_mix_linear" | "scalar_mix_mlp":
            return PooledHead(
                features,
                outputs,
                layers=layers,
                hidden=hidden if kind == "scalar_mix_mlp" else None,
                dropout=dropout,
                pooling=pooling,
                sequences=sequences_per_example,
                spans=spans_per_example,
                generator=generator,
                pooler=pooler,
            )
        case "bcn" if not spans_per_example:
            return Bcn(
                features,
                outputs,
                layers=layers,
                hidden=hidden,
                dropout=dropout,
                sequences=sequences_per_example,
                generator=generator,
            )
        case "esim" if pairs:
            return Esim(features, outputs, layers=layers, hidden=hidden, dropout=dropout, generator=generator)
        case "bi_attention" if pairs:
            return BiAttentionHead(features, outputs, layers=layers, dropout=dropout, generator=generator)
    raise ValueError(
        f"head {kind!r} does not read examples of {sequences_per_example} sequences and {spans_per_example} spans"
    )


def _new_tagger(
    kind: Head,
    layers: int,
    features: int,
    outputs: int,
    hidden: int,
    head_layers: int,
    dropout: float,
    tag_names: Sequence[str] | None,
    generator: torch.Generator,
) -> nn.Module:
    """A head for labelling."""
    tagger: nn.Module
    match kind:
        case "linear" | "scalar_mix_linear" | "crf":
            tagger = LinearTagger(features, outputs, layers=layers, dropout=dropout, generator=generator)
        case "bilstm" | "bilstm_crf":
            tagger = BiLstmTagger(
                features,
                outputs,
                layers=layers,
                hidden=hidden,
                lstm_layers=head_layers,
                dropout=dropout,
                generator=generator,
            )
        case _:
            raise ValueError(f"head {kind!r} does not label words")
    if kind not in ("crf", "bilstm_crf"):
        return tagger
    return CrfTagger(tagger, LinearChainCrf(outputs, None if tag_names is None else impossible(tag_names)))

"""Encoding texts with a frozen encoder: pooled states of every layer."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from transfer_atlas.models.classifier import pool
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.settings import Engine
from transfer_atlas.training.loop import autocast, evaluation_rows, in_order
from transfer_atlas.training.progress import EncodingProgress
from transfer_atlas.training.token_examples import TokenisedExamples


@torch.no_grad()
def pooled_states(
    encoder: nn.Module,
    examples: TokenisedExamples,
    pooling: str,
    device: torch.device,
    precision: str,
    engine: Engine,
    progress_seconds: float,
) -> np.ndarray:
    """Pooled states of the embeddings and every layer, [N, layers + 1, H] float32, in the examples' order."""
    encoder.eval().to(device)
    encoding = encoding_of(encoder, engine)
    pieces, batches = [], evaluation_rows(examples)
    progress = EncodingProgress(int(examples.sizes().sum()), progress_seconds)
    for rows in batches:
        batch = examples.batch(rows, device)
        with autocast(device, precision):
            layers = encoding(batch)
        pieces.append(torch.stack([pool(layer, batch.packing, pooling) for layer in layers], dim=1).cpu())
        progress.encoded(batch.tokens)
    return in_order(pieces, batches).numpy()

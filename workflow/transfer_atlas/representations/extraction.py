"""Encoding texts with a frozen encoder: pooled states of every layer."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn

from transfer_atlas.models.classifier import pool
from transfer_atlas.models.encoding import encoding_of
from transfer_atlas.settings import Engine
from transfer_atlas.training.loop import EVALUATION_BATCH, autocast
from transfer_atlas.training.progress import duration
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
    by_length = torch.argsort(examples.sizes(), stable=True)
    pieces = []
    started = last = time.monotonic()
    tokens, all_tokens = 0, int(examples.sizes().sum())
    for rows in by_length.split(EVALUATION_BATCH):
        batch = examples.batch(rows, device)
        with autocast(device, precision):
            layers = encoding(batch)
        pieces.append(torch.stack([pool(layer, batch.packing, pooling) for layer in layers], dim=1).cpu())
        tokens += batch.tokens
        if (now := time.monotonic()) - last >= progress_seconds:
            last, speed = now, tokens / (now - started)
            left = duration((all_tokens - tokens) / speed)
            print(f"encoded {tokens:,} of {all_tokens:,} tokens  {speed:,.0f} tokens/s  {left} left", flush=True)
    stacked = torch.cat(pieces)
    ordered = torch.empty_like(stacked)
    ordered[by_length] = stacked
    return ordered.numpy()

"""What this core's matrix products reach at the model's own shape; prints FLOP/s, one number for each block.

One thread, weights as linear maps hold them: [1024, 384] times the transpose of [1536, 384].
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch.nn import functional

TOKENS, HIDDEN, WIDE = 1024, 384, 1536
BLOCKS, PRODUCTS = 10, 20


def rates(precision: str) -> list[float]:
    """FLOP/s of each block of products, after one block that warms up."""
    torch.set_num_threads(1)
    dtype = {"bfloat16": torch.bfloat16, "float32": torch.float32}[precision]
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(TOKENS, HIDDEN, generator=generator).to(dtype)
    weights = torch.randn(WIDE, HIDDEN, generator=generator).to(dtype)
    found = []
    with torch.inference_mode():
        for _ in range(BLOCKS + 1):
            start = time.perf_counter()
            for _ in range(PRODUCTS):
                functional.linear(states, weights)
            found.append(PRODUCTS * 2 * TOKENS * HIDDEN * WIDE / (time.perf_counter() - start))
    return found[1:]


if __name__ == "__main__":
    print(json.dumps(rates(sys.argv[1])))

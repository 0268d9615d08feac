"""Named random streams: every random choice comes from (seed, name), never from a global generator.

The names in use: `subset` (which examples), `init` (new weights; each layer's have a stream of their own), `order` (of
examples), `dropout`, `search` (which candidates are tried), `hashing` (projections and shifts of mutual
information), `control` (random labels and states).
Streams of different names are independent, so a change in one (a larger head, say) does not shift another.
"""

from __future__ import annotations

import hashlib

STREAMS = ("subset", "init", "order", "dropout", "search", "hashing", "control")


def stream_seed(seed: int, name: str, number: int | None = None) -> int:
    """Return the 63-bit seed of stream `name` of run seed `seed`, or of the stream of this number among many alike.

    Raises:
        ValueError: for a name that is no stream.
    """
    if name not in STREAMS:
        raise ValueError(f"no random stream is called {name!r}; there are {', '.join(STREAMS)}")
    key = f"{name}:{seed}" if number is None else f"{name}:{seed}:{number}"
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1

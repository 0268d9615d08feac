"""Random streams: their seeds are fixed for ever, and no two share one."""

from __future__ import annotations

import pytest

from transfer_atlas.streams import STREAMS, stream_seed


def test_seeds_never_change() -> None:
    """Changing them would silently change every result."""
    assert stream_seed(1, "subset") == 1758912074102144844
    assert stream_seed(1, "dropout") == 5036994933701043806


def test_every_stream_of_every_seed_is_its_own() -> None:
    seeds = {stream_seed(seed, name) for seed in range(500) for name in STREAMS}
    assert len(seeds) == 500 * len(STREAMS)


def test_seeds_fit_every_generator() -> None:
    assert all(0 <= stream_seed(seed, name) < 2**63 for seed in range(500) for name in STREAMS)


def test_unknown_stream() -> None:
    with pytest.raises(ValueError, match="no random stream is called 'shuffle'; there are subset, init"):
        stream_seed(1, "shuffle")

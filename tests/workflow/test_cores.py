"""How many jobs run at a time does not matter."""

from __future__ import annotations

from little_study import LittleStudy


def test_one_core_and_two_cores_give_the_same_bytes(fresh: LittleStudy, finished: LittleStudy) -> None:
    fresh.run(cores=1)
    assert fresh.differing(finished) == []

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from transfer_atlas.artifacts.lock import WHOLE, enforce, source_of
from transfer_atlas.atomic import read_json
from transfer_atlas.errors import UserError
from transfer_atlas.settings import HubArtifact, PathArtifact, UrlArtifact, WheelArtifact

A, B = "a" * 64, "b" * 64
HUB = HubArtifact(source="hub", repo="x/y", revision="0" * 40)
URL = UrlArtifact(source="url", url="https://x/a.zip")


def test_sources() -> None:
    assert source_of(WheelArtifact(source="wheel", wheel="a==1")) == "wheel a==1"
    assert source_of(HUB) == f"hub x/y@{'0' * 40}"
    assert source_of(HUB.model_copy(update={"repo_type": "dataset"})) == f"hub dataset x/y@{'0' * 40}"
    assert source_of(URL) == "url https://x/a.zip"
    assert source_of(PathArtifact(source="path", path="d")) == "path d"


def test_first_use_records_and_later_use_compares(lock: Path) -> None:
    enforce("thing", URL, {WHOLE: A}, lock)
    first = lock.read_bytes()
    enforce("thing", URL, {WHOLE: A}, lock)
    assert lock.read_bytes() == first
    with pytest.raises(UserError, match=f"should have sha256 {A}, as .*artifacts.lock recorded, but {B} came"):
        enforce("thing", URL, {WHOLE: B}, lock)
    assert lock.read_bytes() == first


def test_another_source_replaces_the_entry(lock: Path) -> None:
    enforce("other", URL, {WHOLE: A}, lock)
    enforce("thing", URL, {WHOLE: A}, lock)
    newer = UrlArtifact(source="url", url="https://x/b.zip")
    enforce("thing", newer, {WHOLE: B}, lock)
    assert read_json(lock)["thing"] == {"source": "url https://x/b.zip", "sha256": B}
    assert read_json(lock)["other"]["sha256"] == A


def test_the_configuration_wins(lock: Path) -> None:
    pinned = URL.model_copy(update={"sha256": A})
    enforce("thing", pinned, {WHOLE: A}, lock)
    assert not lock.exists()
    with pytest.raises(UserError, match=f"sha256 {A}, as the configuration says, but {B} came.*set `sha256`"):
        enforce("thing", pinned, {WHOLE: B}, lock)
    enforce("thing", URL, {WHOLE: B}, lock)
    enforce("thing", pinned, {WHOLE: A}, lock)
    assert read_json(lock)["thing"]["sha256"] == B


def test_files_of_a_repository_are_recorded_one_by_one(lock: Path) -> None:
    pinned = HUB.model_copy(update={"sha256": {"a": A}})
    enforce("thing", pinned, {"a": A, "b": B}, lock)
    assert read_json(lock)["thing"]["files"] == {"b": B}
    enforce("thing", pinned, {"a": A, "c": A}, lock)
    assert read_json(lock)["thing"]["files"] == {"b": B, "c": A}
    with pytest.raises(UserError, match="'b' of hub x/y@"):
        enforce("thing", pinned, {"a": A, "b": A}, lock)
    with pytest.raises(UserError, match="sha256 names 'a', which is not among"):
        enforce("thing", pinned, {"b": B}, lock)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"thing": 1}', '{"thing": {"source": "x"}}', '{"thing": {"source": "x", "files": []}}']
)
def test_a_damaged_lock(lock: Path, text: str) -> None:
    lock.write_text(text)
    with pytest.raises(UserError, match=r"artifacts.lock: is not .*restore it"):
        enforce("thing", URL, {WHOLE: A}, lock)
    assert lock.read_text() == text


def test_many_at_once_lose_nothing(lock: Path) -> None:
    threads = [threading.Thread(target=enforce, args=(f"thing{n}", URL, {WHOLE: A}, lock)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_json(lock).keys() == {f"thing{n}" for n in range(16)}

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from huggingface_hub import constants

from transfer_atlas.artifacts.fetch import fetch
from transfer_atlas.atomic import read_json
from transfer_atlas.errors import UserError
from transfer_atlas.settings import HubArtifact

from .hub_server import Fault, HubServer

REVISION = "0123456789abcdef0123456789abcdef01234567"
MODEL = {
    "config.json": b'{"model_type": "bert"}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "model.safetensors": bytes(range(256)) * 200,
    "pytorch_model.bin": b"a pickle, which nobody asked for",
    "onnx/model.onnx": b"x",
    "sub/tokenizer.json": b"{}",
}
FETCHED = {"config.json", "vocab.txt", "model.safetensors", "sub/tokenizer.json"}


def model(**settings: object) -> HubArtifact:
    return HubArtifact.model_validate({"source": "hub", "repo": "ours/tiny", "revision": REVISION, **settings})


@pytest.fixture
def hub(server: HubServer) -> HubServer:
    server.repos["models", "ours/tiny", REVISION] = dict(MODEL)
    return server


def got(folder: Path) -> dict[str, bytes]:
    files = folder / "files"
    return {path.relative_to(files).as_posix(): path.read_bytes() for path in files.rglob("*") if path.is_file()}


def test_a_model(hub: HubServer, folder: Path, lock: Path) -> None:
    fetch("thing", model(), folder, lock)
    assert got(folder) == {name: MODEL[name] for name in FETCHED}
    assert hub.count("GET", "pytorch_model") == 0
    manifest = read_json(folder / "manifest.json")
    assert manifest["sha256"] is None
    assert manifest["source"]["revision"] == REVISION
    assert manifest["files"]["vocab.txt"]["bytes"] == 12
    entry = read_json(lock)["thing"]
    assert entry["source"] == f"hub ours/tiny@{REVISION}"
    assert entry["files"].keys() == FETCHED
    assert {name for name in folder.parent.iterdir() if name.name.endswith(".partial")} == set()
    before = len(hub.requests)
    fetch("thing", model(), folder, lock)
    assert len(hub.requests) == before, "what is there is not asked for again"


def test_pickles_only_when_named_and_never_opened(hub: HubServer, folder: Path, lock: Path) -> None:
    fetch("thing", model(files=["*.bin"]), folder, lock)
    assert got(folder) == {"pytorch_model.bin": MODEL["pytorch_model.bin"]}


def test_a_data_set_in_parquet(server: HubServer, folder: Path, lock: Path) -> None:
    table = pd.DataFrame({"text": ["fine", "poor"], "label": [1, 0]})
    buffer = io.BytesIO()
    table.to_parquet(buffer)
    server.repos["datasets", "ours/reviews", REVISION] = {
        "data/train-00000.parquet": buffer.getvalue(),
        "README.md": b"x",
    }
    artifact = model(repo="ours/reviews", repo_type="dataset", files=["data/*.parquet"])
    fetch("thing", artifact, folder, lock)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "files/data/train-00000.parquet"), table)
    assert server.count("GET", "/cdn/") == 1, "large files come from another host"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"repo": "ours/nothing"}, r"no model repository ours/nothing; correct `repo`"),
        ({"repo_type": "dataset"}, r"no dataset repository ours/tiny"),
        ({"revision": "f" * 40}, r"ours/tiny has no revision ffff"),
        ({"files": ["config.json", "nothing.txt"]}, r"has no file nothing.txt; correct `files`"),
        ({"files": ["*.msgpack"]}, r"has no file \*.msgpack; correct `files`"),
    ],
)
def test_what_is_not_there(
    hub: HubServer, folder: Path, lock: Path, sleeps: list[float], settings: dict[str, object], match: str
) -> None:
    with pytest.raises(UserError, match=match) as caught:
        fetch("thing", model(**settings), folder, lock)
    assert str(caught.value).startswith("artifacts.thing: ")
    assert "\n" not in str(caught.value)
    assert not (folder / "files").exists()
    assert not (folder / "manifest.json").exists()
    assert not lock.exists()


def test_a_listed_file_that_is_gone(hub: HubServer, folder: Path, lock: Path, sleeps: list[float]) -> None:
    for method in ("HEAD", "GET"):
        hub.faults.append(Fault("vocab.txt", status=404, headers={"X-Error-Code": "EntryNotFound"}, method=method))
    with pytest.raises(UserError, match=r"has no file behind http.*vocab.txt"):
        fetch("thing", model(), folder, lock)


def test_a_gated_repository(hub: HubServer, folder: Path, lock: Path) -> None:
    hub.faults.append(Fault("/tree/", status=403, headers={"X-Error-Code": "GatedRepo"}))
    with pytest.raises(UserError, match="is gated; accept its terms"):
        fetch("thing", model(), folder, lock)


@pytest.mark.parametrize(
    ("method", "where"), [("GET", "/tree/"), ("HEAD", "config.json"), ("GET", "config.json"), ("GET", "/cdn/")]
)
def test_too_many_requests(
    hub: HubServer, folder: Path, lock: Path, sleeps: list[float], where: str, method: str
) -> None:
    # Where no copy is at hand the client repeats a HEAD once at once, so the second refusal is the first it waits for.
    hub.faults.append(Fault(where, status=429, headers={"Retry-After": "11"}, times=2, method=method))
    fetch("thing", model(), folder, lock)
    assert got(folder).keys() == FETCHED
    assert max(sleeps) >= 11


@pytest.mark.parametrize("where", ["/tree/", "config.json"])
def test_too_many_requests_for_ever(hub: HubServer, folder: Path, lock: Path, sleeps: list[float], where: str) -> None:
    hub.faults.append(Fault(where, status=429, headers={"Retry-After": "1"}))
    with pytest.raises(UserError, match=r"still answers 429"):
        fetch("thing", model(), folder, lock)
    assert 1 < hub.count("GET", where) < 10


def test_a_body_cut_off_once(hub: HubServer, folder: Path, lock: Path, sleeps: list[float]) -> None:
    hub.faults += [Fault("vocab.txt", cut=True, times=1), Fault("/cdn/", cut=True, times=2)]
    fetch("thing", model(), folder, lock)
    assert got(folder) == {name: MODEL[name] for name in FETCHED}


@pytest.mark.parametrize("chunk", [1_000, 10_000_000])
def test_a_body_cut_off_every_time(
    hub: HubServer, folder: Path, lock: Path, sleeps: list[float], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    """With bodies larger than a chunk the client itself would never give up: every chunk renews its patience."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", chunk)
    hub.resumes = False
    hub.faults.append(Fault("/cdn/", cut=True))
    with pytest.raises(UserError, match=r"download.* breaks off"):
        fetch("thing", model(), folder, lock)
    assert hub.count("GET", "/cdn/") < 10
    assert not (folder / "manifest.json").exists()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["vocab.txt", "model.safetensors"])
def test_content_that_is_not_what_the_listing_says(hub: HubServer, folder: Path, lock: Path, name: str) -> None:
    hub.swapped[name] = bytes(len(MODEL[name]))
    with pytest.raises(UserError, match=rf"{name} of ours/tiny should be object \w+.* but \w+ came"):
        fetch("thing", model(), folder, lock)
    assert not lock.exists(), "a damaged first download must not become the expectation"


def test_a_damaged_copy_in_the_users_cache_is_bypassed(hub: HubServer, folder: Path, lock: Path) -> None:
    snapshot = Path(constants.HF_HUB_CACHE) / "models--ours--tiny" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (snapshot / "vocab.txt").write_bytes(b"damage")
    (snapshot / "config.json").write_bytes(MODEL["config.json"])
    fetch("thing", model(), folder, lock)
    assert got(folder)["vocab.txt"] == MODEL["vocab.txt"]
    assert hub.count("GET", "config.json") == 0, "what is whole in the cache is used"


def test_configured_checksums(hub: HubServer, folder: Path, lock: Path) -> None:
    with pytest.raises(UserError, match=rf"'vocab.txt' of hub .* should have sha256 {'0' * 64}.* but \w+ came"):
        fetch("thing", model(sha256={"vocab.txt": "0" * 64}), folder, lock)
    with pytest.raises(UserError, match=r"sha256 names 'vocab\.tx'"):
        fetch("thing", model(sha256={"vocab.tx": "0" * 64}), folder, lock)


def test_a_repository_whose_files_changed(hub: HubServer, folder: Path, lock: Path) -> None:
    fetch("thing", model(), folder, lock)
    hub.repos["models", "ours/tiny", REVISION]["vocab.txt"] = b"other"
    (folder / "files/vocab.txt").write_bytes(b"damaged here")
    with pytest.raises(UserError, match=r"'vocab.txt' of hub .*artifacts.lock recorded.* remove 'thing' from"):
        fetch("thing", model(), folder, lock)


def test_names_from_a_hostile_hub(hub: HubServer, folder: Path, lock: Path) -> None:
    hub.repos["models", "ours/tiny", REVISION]["../../evil.txt"] = b"bad"
    with pytest.raises(UserError, match="not a plain relative path"):
        fetch("thing", model(), folder, lock)


def test_offline(hub: HubServer, folder: Path, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids"):
        fetch("thing", model(), folder, lock)
    assert not hub.requests


def test_nobody_there(
    hub: HubServer, folder: Path, lock: Path, sleeps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot reach http://127.0.0.1:9 for .*check network and proxy"):
        fetch("thing", model(), folder, lock)


def test_no_hub_behind_the_address(hub: HubServer, folder: Path, lock: Path) -> None:
    hub.faults.append(Fault("/tree/", status=200))
    with pytest.raises(UserError, match="ours/tiny"):
        fetch("thing", model(), folder, lock)

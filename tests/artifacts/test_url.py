from __future__ import annotations

import gzip
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transfer_atlas.artifacts import progress, url
from transfer_atlas.errors import UserError

from .hub_server import Fault, HubServer

CONTENT = bytes(range(256)) * 1000


def test_a_file_comes_as_it_is(server: HubServer, tmp_path: Path) -> None:
    server.files["a b.csv"] = CONTENT
    got = url.download(f"{server.url}/files/a%20b.csv?version=1", tmp_path)
    assert got.name == "a b.csv"
    assert got.read_bytes() == CONTENT


def test_a_compressed_file_stays_compressed(server: HubServer, tmp_path: Path) -> None:
    """Some servers label a `.gz` file as a transfer encoding; its checksum is that of the file all the same."""
    server.files["a.csv.gz"] = gzip.compress(CONTENT)
    server.headers["/files/a.csv.gz"] = {"Content-Encoding": "gzip"}
    assert url.download(f"{server.url}/files/a.csv.gz", tmp_path).read_bytes() == server.files["a.csv.gz"]


def test_busy_and_broken_servers_are_asked_again(server: HubServer, tmp_path: Path, sleeps: list[float]) -> None:
    server.files["a.csv"] = CONTENT
    server.faults = [
        Fault("a.csv", status=429, headers={"Retry-After": "7"}, times=1),
        Fault("a.csv", status=503, times=1),
        Fault("a.csv", cut=True, times=1),
        Fault("a.csv", status=500, times=1),
    ]
    assert url.download(f"{server.url}/files/a.csv", tmp_path).read_bytes() == CONTENT
    assert sleeps == [7.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (Fault("a.csv", status=429, headers={"Retry-After": "1"}), "429 Too Many Requests"),
        (Fault("a.csv", status=502), "502 Bad Gateway"),
        (Fault("a.csv", cut=True), "peer closed connection"),
    ],
)
def test_patience_ends(server: HubServer, tmp_path: Path, sleeps: list[float], fault: Fault, match: str) -> None:
    server.files["a.csv"] = CONTENT
    server.faults = [fault]
    with pytest.raises(UserError, match=rf"{match}.*\({url.ATTEMPTS} attempts\)"):
        url.download(f"{server.url}/files/a.csv", tmp_path)
    assert server.count("GET", "a.csv") == url.ATTEMPTS
    assert len(sleeps) == url.ATTEMPTS - 1


def test_a_wait_of_hours_is_not_waited_for(server: HubServer, tmp_path: Path, sleeps: list[float]) -> None:
    server.files["a.csv"] = CONTENT
    server.faults = [Fault("a.csv", status=503, headers={"Retry-After": "86400"})]
    with pytest.raises(UserError, match="asks to wait 86400 s"):
        url.download(f"{server.url}/files/a.csv", tmp_path)
    assert not sleeps


@pytest.mark.parametrize(("status", "match"), [(404, "404.*check the address"), (403, "403.*source: path")])
def test_refusals_are_final(server: HubServer, tmp_path: Path, sleeps: list[float], status: int, match: str) -> None:
    server.faults = [Fault("a.csv", status=status)]
    with pytest.raises(UserError, match=match):
        url.download(f"{server.url}/files/a.csv", tmp_path)
    assert server.count("GET", "a.csv") == 1


def test_nobody_there(tmp_path: Path, sleeps: list[float]) -> None:
    with pytest.raises(UserError, match="check network and proxy"):
        url.download("http://127.0.0.1:9/a.csv", tmp_path)
    assert sleeps == [1, 2, 4, 8, 16]


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)
    assert url.retry_after("12", now) == 12
    assert url.retry_after("Tue, 01 Jan 2030 12:00:30 GMT", now) == 30
    assert url.retry_after("Tue, 01 Jan 2030 11:00:00 GMT", now) == 0
    assert url.retry_after("soon", now) is None
    assert url.retry_after(None, now) is None


@pytest.mark.parametrize(
    ("address", "name"),
    [("https://x/a/b.zip", "b.zip"), ("https://x/", "download"), ("https://x/files/123?x=/y", "123")],
)
def test_file_names(address: str, name: str) -> None:
    assert url.file_name(address) == name


@pytest.mark.parametrize(
    "address", ["https://x/a/..", "https://x/%2e%2e", "https://x/a%2Fb", "https://x/a%5Cb", "https://x/."]
)
def test_hostile_file_names(address: str) -> None:
    with pytest.raises(UserError, match="plain"):
        url.file_name(address)


def test_progress_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.watching("url x", tmp_path, seconds=0.02) as watch:
        watch.total = 4_000_000
        (tmp_path / "part").write_bytes(bytes(1_000_000))
        for _ in range(200):
            lines = capsys.readouterr().out
            if "1.0 of 4.0 MB" in lines:
                break
            time.sleep(0.01)
    assert "url x: 1.0 of 4.0 MB, " in lines
    assert "\r" not in lines
    assert progress.line("x", 1_500_000, 500_000, 4_000_000) == "x: 1.5 of 4.0 MB, 0.5 MB/s, 5 s left"
    assert progress.line("x", 1_500_000, 0, None) == "x: 1.5 MB, 0.0 MB/s"

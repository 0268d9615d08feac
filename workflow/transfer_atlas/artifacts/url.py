"""A file behind http(s), streamed to disk, with patience for servers that are busy or break off."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2

from transfer_atlas.artifacts.names import safe_path
from transfer_atlas.artifacts.progress import Watch, watching
from transfer_atlas.errors import UserError
from transfer_atlas.settings import file_name_in

ATTEMPTS = 6
FIRST_WAIT_SECONDS = 1.0  # doubled after every attempt: 1, 2, 4, 8, 16
LONGEST_WAIT_SECONDS = 600.0  # a server that asks for more is not waited for
TIMEOUT_SECONDS = 60.0  # without a byte
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Busy(Exception):
    """The server says: not now. `wait`: seconds it asks for, None where it does not say."""

    def __init__(self, reason: str, wait: float | None) -> None:
        super().__init__(reason)
        self.wait = wait


def file_name(url: str) -> str:
    """The name of the file behind `url`, see `file_name_in`.

    Raises:
        UserError: for a segment that is no plain file name.
    """
    name = file_name_in(url)
    if "/" in name or safe_path(name) == ".":
        raise UserError(f"{url} does not end in a plain file name; use another address of this file")
    return name


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by a `Retry-After` header, which is a number of seconds or a date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        then = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (then.replace(tzinfo=then.tzinfo or UTC) - now).total_seconds())


def download(url: str, scratch: Path) -> Path:
    """Stream the file behind `url` into a folder of its own below `scratch` and return its path.

    Tried again after refused or broken connections, truncated bodies, 429 and server errors; waits double, unless the
    server asks for another wait.

    Raises:
        UserError: for an address that does not exist or is forbidden, and when the last attempt failed.
    """
    name = file_name(url)
    folder = scratch / "url" / name
    folder.mkdir(parents=True)
    target = folder / name
    timeout = httpx2.Timeout(TIMEOUT_SECONDS)
    with watching(f"url {url}", folder) as watch, httpx2.Client(follow_redirects=True, timeout=timeout) as client:
        for attempt in range(1, ATTEMPTS + 1):
            wait: float | None = None
            try:
                _stream(client, url, target, watch)
                return target
            except _Busy as error:
                wait, reason = error.wait, str(error)
            except (httpx2.UnsupportedProtocol, httpx2.TooManyRedirects, httpx2.InvalidURL) as error:
                raise UserError(f"cannot download {url}: {' '.join(str(error).split())}; check the address") from error
            except httpx2.TransportError as error:  # no connection, time-out, or a body that ended too early
                reason = " ".join(str(error).split()) or type(error).__name__
            wait = FIRST_WAIT_SECONDS * 2 ** (attempt - 1) if wait is None else wait
            if wait > LONGEST_WAIT_SECONDS:
                raise UserError(f"cannot download {url}: {reason}; the server asks to wait {wait:.0f} s: run it later")
            if attempt < ATTEMPTS:
                print(f"url {url}: {reason}; attempt {attempt + 1} of {ATTEMPTS} in {wait:.0f} s", flush=True)
                time.sleep(wait)
    raise UserError(f"cannot download {url}: {reason} ({ATTEMPTS} attempts); check network and proxy, then run again")


def _stream(client: httpx2.Client, url: str, target: Path, watch: Watch) -> None:
    # The checksum is that of the file as it is served, so no transfer compression, and no decoding where a server
    # compresses (or so labels a .gz) all the same.
    with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
        status = response.status_code
        if status in RETRIED_STATUS:
            reason = f"the server answers {status} {response.reason_phrase}"
            raise _Busy(reason, retry_after(response.headers.get("Retry-After"), datetime.now(UTC)))
        if status != 200:
            raise UserError(
                f"cannot download {url}: the server answers {status} {response.reason_phrase}; {_mend(status)}"
            )
        length = response.headers.get("Content-Length")
        watch.total = int(length) if length is not None and length.isdigit() else None
        with open(target, "wb") as sink:
            for chunk in response.iter_raw():
                sink.write(chunk)


def _mend(status: int) -> str:
    if status in (401, 403):
        return "it may need a login: download the file yourself and use `source: path`"
    return "check the address"

"""A local HTTP server that speaks the hub's protocol as far as the real `huggingface_hub` client needs it.

`GET  /api/{models|datasets}/{repo}/tree/{revision}`  the listing, paginated by `Link` headers
`HEAD /[datasets/]{repo}/resolve/{revision}/{path}`   X-Repo-Commit, ETag, size; LFS files redirect to another host
`GET  ` the same                                      the bytes, with Range
Plain files lie under `/files/`. Faults are switched on by path: status codes, Retry-After, bodies that are cut off,
stalled or exchanged.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LFS_ENDINGS = (".safetensors", ".parquet", ".bin")
PAGE = 2  # entries of a listing's page: small, so that tests turn pages


@dataclass
class Fault:
    """What goes wrong with requests whose path contains `where`, the next `times` times."""

    where: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Declare the whole length, send half of it, close."""
    stall: bool = False
    """Send half, then the rest when `HubServer.going_on` is set; `HubServer.stalling` says that it has come so far."""
    times: int = 1_000_000
    method: str = "GET"


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[tuple[str, str, str], dict[str, bytes]] = {}
        """Files by (kind, repo, revision)."""
        self.files: dict[str, bytes] = {}
        self.swapped: dict[str, bytes] = {}
        """Content that is sent instead of what the listing promises, by path."""
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.resumes = True
        self.headers: dict[str, dict[str, str]] = {}
        """Further headers of the answers, by path."""
        self.going_on = threading.Event()
        self.stalling = threading.Event()
        self.guard = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed in the middle of an answer; nobody wants to read about it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def cdn(self) -> str:
        """The same server under another host name, as large files lie on another host than the hub."""
        return f"http://localhost:{self.server_port}/cdn"

    def count(self, method: str, where: str) -> int:
        return sum(request.startswith(method + " ") and where in request for request in self.requests)

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self.guard:
            self.requests.append(f"{method} {path}")
            for fault in self.faults:
                if fault.where in path and fault.method == method and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        address = urlsplit(self.path)
        path = unquote(address.path)
        fault = self.server.take_fault(self.command, path)
        if fault is not None and fault.status:
            return self.reply(fault.status, b"{}", fault.headers)
        if path.startswith("/files/"):
            return self.send_file(path, self.server.files.get(path.removeprefix("/files/")), {}, fault)
        if path.startswith("/cdn/"):
            return self.send_file(path, self.by_sha256(path.removeprefix("/cdn/")), {}, fault)
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/]+)", path):
            kind, repo, revision = match.groups()
            return self.send_listing(kind, repo, revision, address.query)
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            kind, repo, revision, file = match.groups()
            return self.send_resolved("datasets" if kind else "models", repo, revision, file, fault)
        self.reply(404, b"{}")

    def find(self, kind: str, repo: str, revision: str) -> dict[str, bytes] | None:
        found = self.server.repos.get((kind, repo, revision))
        if found is None:
            exists = any(key[:2] == (kind, repo) for key in self.server.repos)
            self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound" if exists else "RepoNotFound"})
        return found

    def send_listing(self, kind: str, repo: str, revision: str, query: str) -> None:
        files = self.find(kind, repo, revision)
        if files is None:
            return
        match = re.search(r"cursor=(\d+)", query)
        start = int(match.group(1)) if match else 0
        names = sorted(files)
        entries: list[dict[str, Any]] = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "folder"}]
        for name in names[start : start + PAGE]:
            content = files[name]
            entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": git_id(content)}
            if name.endswith(LFS_ENDINGS):
                sha256 = hashlib.sha256(content).hexdigest()
                entry |= {"oid": git_id(b"pointer"), "lfs": {"oid": sha256, "size": len(content), "pointerSize": 134}}
            entries.append(entry)
        headers = {"Content-Type": "application/json"}
        if start + PAGE < len(names):
            headers["Link"] = f'<{self.server.url}{urlsplit(self.path).path}?cursor={start + PAGE}>; rel="next"'
        self.reply(200, json.dumps(entries).encode(), headers)

    def send_resolved(self, kind: str, repo: str, revision: str, file: str, fault: Fault | None) -> None:
        files = self.find(kind, repo, revision)
        if files is None:
            return
        if file not in files:
            return self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": revision})
        content = files[file]
        if file.endswith(LFS_ENDINGS):
            sha256 = hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{sha256}"', "X-Repo-Commit": revision}
            return self.reply(302, b"", {**linked, "Location": f"{self.server.cdn}/{sha256}"})
        self.send_file(file, content, {"X-Repo-Commit": revision, "ETag": f'"{git_id(content)}"'}, fault)

    def by_sha256(self, sha256: str) -> bytes | None:
        for files in self.server.repos.values():
            for name, content in files.items():
                if hashlib.sha256(content).hexdigest() == sha256:
                    return self.server.swapped.get(name, content)
        return None

    def send_file(self, path: str, content: bytes | None, headers: dict[str, str], fault: Fault | None) -> None:
        if content is None:
            return self.reply(404, b"not here")
        content = self.server.swapped.get(path, content)
        headers = {**headers, **self.server.headers.get(path, {})}
        status = 200
        if self.server.resumes and (match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start = int(match.group(1))
            headers = {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            content, status = content[start:], 206
        if fault is None:
            return self.reply(status, content, headers)
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        if fault.stall:
            self.server.stalling.set()
            self.server.going_on.wait()
            self.wfile.write(content[len(content) // 2 :])
        self.close_connection = True

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

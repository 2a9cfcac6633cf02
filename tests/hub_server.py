"""A local server that implements as much of the Hugging Face Hub API as a download needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]


@dataclass
class HubServer:
    """The server's files, its misbehaviour, and the requests it received."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """The repositories by name, each with its files by name."""
    card: dict[str, Any] = field(default_factory=lambda: {"license": "apache-2.0", "language": ["en", "de"]})
    refusal: tuple[int, dict[str, str]] | None = None
    """The status and headers to send instead of every response."""
    answer: bytes | None = None
    """The body to send instead of every repository's description."""
    cut_after: list[int] = field(default_factory=list)
    """The numbers of bytes of weights after which to close the connection, one for each request for weights."""
    released: Event | None = None
    """If given, connections that `cut_after` cuts stay open and silent until this event is set."""
    sent_instead: dict[str, bytes] = field(default_factory=dict)
    """The bytes to send instead of a file's own. The checksums remain those of the file."""
    is_without_ranges: bool = False
    moves_to: str = ""
    """The address of the server to which requests for files are redirected."""
    requests: list[Request] = field(default_factory=list)
    sent_bytes: dict[str, int] = field(default_factory=dict)
    """The number of bytes sent from each file's content."""

    def add(self, name: str, folder: Path) -> dict[str, bytes]:
        """Add a repository with the files in a folder, and return them by name."""
        self.repositories[name] = {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}
        return self.repositories[name]

    def describe(self, name: str) -> dict[str, Any]:
        files = [_described(file, data) for file, data in self.repositories[name].items()]
        return {"id": name, "sha": COMMIT, "gated": False, "cardData": self.card, "siblings": files}


def _described(name: str, data: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    described: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob}
    if name.endswith((".safetensors", ".bin")):
        described["lfs"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 134}
        described["blobId"] = "f" * 40
    return described


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        hub, path = self.server.hub, unquote(urlsplit(self.path).path)
        hub.requests.append(Request(self.path, dict(self.headers.items())))
        if hub.refusal is not None:
            self._send(hub.refusal[0], b"{}", hub.refusal[1])
        elif path.startswith("/api/models/"):
            name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self._describe(name, revision)
        else:
            self._send_file(path)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _describe(self, name: str, revision: str) -> None:
        hub = self.server.hub
        if hub.answer is not None:
            self._send(200, hub.answer)
        elif name not in hub.repositories:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("", "main", COMMIT):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            self._send(200, json.dumps(hub.describe(name)).encode())

    def _send_file(self, path: str) -> None:
        hub = self.server.hub
        name, _, rest = path.removeprefix("/").partition("/resolve/")
        commit, _, file = rest.partition("/")
        if commit != COMMIT or file not in hub.repositories.get(name, {}):
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        if hub.moves_to:
            self._send(302, b"", {"Location": hub.moves_to + self.path})
            return
        data, start = hub.sent_instead.get(file, hub.repositories[name][file]), 0
        if (asked := self.headers.get("Range")) and not hub.is_without_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        part = data[start:]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut = hub.cut_after.pop(0) if file.endswith(".safetensors") and hub.cut_after else len(part)
        hub.sent_bytes[file] = hub.sent_bytes.get(file, 0) + min(cut, len(part))
        self._send(206 if start else 200, part, headers, cut)
        if cut < len(part):
            if hub.released is not None:
                hub.released.wait(timeout=60)
            self.close_connection = True

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            with suppress(ConnectionError):
                self.wfile.write(body[:cut])

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client has closed the connection
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: HubServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = hub


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Serve until the block ends. Set HF_ENDPOINT to the server's `address`."""
    hub = HubServer()
    with _Server(hub) as server:
        hub.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()

"""Object storage for the tests: moto, which speaks S3, in a separate process.

Run as a program, this is that process.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import fsspec


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port until the block ends. `object_storage` can still listen on it."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def environment(port: int) -> dict[str, str]:
    """Return the environment variables with which every process finds the storage."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


class Bucket:
    """A bucket, in which objects are stored by key."""

    def __init__(self, name: str) -> None:
        self.url = f"s3://{name}"
        self._name = name
        self._storage = fsspec.filesystem("s3", use_listings_cache=False)
        self._storage.mkdir(name)

    def put(self, key: str, data: bytes) -> str:
        """Store an object and return its URL. The key may be one that no file system allows: `a/`, `a//b`."""
        self._storage.call_s3("put_object", Bucket=self._name, Key=key, Body=data)
        return f"{self.url}/{key}"

    def put_folder(self, folder: Path) -> None:
        for file in folder.rglob("*"):
            if file.is_file():
                self.put(str(file.relative_to(folder)), file.read_bytes())

    def remove(self, key: str) -> None:
        self._storage.rm_file(f"{self._name}/{key}")


class Request(NamedTuple):
    method: str
    path: str
    """`/bucket/key`, followed by `?` and the query string if there is one."""
    by: str
    """The client's name, from AWS_SDK_UA_APP_ID."""


class ObjectStorage:
    """A server and the requests it received."""

    def __init__(self, port: int, log: Path) -> None:
        self.environment = environment(port)
        self._log = log
        self._numbers = count()

    def new_bucket(self) -> Bucket:
        return Bucket(f"photos{next(self._numbers)}")

    def requests(self) -> list[Request]:
        return [Request(*line.split("\t")) for line in self._log.read_text().splitlines()]


@contextmanager
def object_storage(port: int, wait_s: float = 0.0) -> Iterator[ObjectStorage]:
    """Run a server that waits `wait_s` seconds before it answers a GET request."""
    with tempfile.TemporaryDirectory(prefix="pixsearch-s3-") as folder:
        log = Path(folder) / "requests"
        log.touch()
        server = subprocess.Popen(
            [sys.executable, __file__, log, str(port), str(wait_s)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert server.stdout is not None
        try:
            assert server.stdout.readline()
            yield ObjectStorage(port, log)
        finally:
            server.kill()
            server.wait()


def main(log: Path, port: int, wait_s: float) -> None:
    """Serve, print that the server is ready, and log each request."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moto = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        by = re.search(r"app/(\S+)", environ.get("HTTP_USER_AGENT", ""))
        path = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}".rstrip("?")
        if environ["REQUEST_METHOD"] == "GET":
            time.sleep(wait_s)
        with log.open("a") as file:
            file.write(f"{environ['REQUEST_METHOD']}\t{path}\t{by[1] if by else ''}\n")
        return moto(environ, start_response)

    listening = socket.create_server(("127.0.0.1", port), reuse_port=True)
    server = make_server("127.0.0.1", port, app, threaded=True, fd=listening.fileno())
    print("ready", flush=True)
    os.close(1)
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

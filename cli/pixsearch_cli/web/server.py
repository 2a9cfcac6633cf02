"""The server: one process, one socket, and clients that may be slow only so much."""

from __future__ import annotations

import asyncio
import copy
import socket
from contextlib import suppress

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pixsearch.errors import PixsearchError

HEAD_TIMEOUT_S = 15.0
"""In which the head of a request has to arrive; a body has its own (`access`)."""
MOST_CONNECTIONS = 512


class PatientOnlySoLong(H11Protocol):
    """Closes a connection that does not bring the head of a request in time, which uvicorn waits for without end."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_watching()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _stop_watching(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """The socket of a server. Raises PixsearchError where it cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        raise PixsearchError(
            f"cannot listen at {host} port {port}: {error.strerror}", "Choose others with --host and --port"
        ) from error
    return listening


def server_of(app: ASGIApp, *, log_requests: bool = False) -> uvicorn.Server:
    logs = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    logs["handlers"]["access"]["stream"] = "ext://sys.stderr"
    config = uvicorn.Config(
        app,
        log_config=logs,
        http=PatientOnlySoLong,
        ws="none",
        log_level="info" if log_requests else "warning",
        access_log=log_requests,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=3,
    )
    return uvicorn.Server(config)


def run(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until somebody stops it."""
    with suppress(KeyboardInterrupt):  # the usual end
        server.run(sockets=[listening])

"""The HTTP server: one process and one socket, with time limits for slow clients."""

from __future__ import annotations

import asyncio
import copy
import socket
from contextlib import suppress
from functools import partial
from typing import Any, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pixsearch.errors import PixsearchError
from pixsearch_cli.json_records import json_text
from pixsearch_cli.web.problems import PROBLEM
from pixsearch_cli.web.proxies import Proxies

HEAD_TIMEOUT_S = 15.0
"""Seconds within which the headers of a request must arrive. `guard` limits bodies."""
SEND_TIMEOUT_S = 60.0
"""Seconds within which a client must accept a chunk of a response: 64 kB of a file, or any other response."""
MOST_CONNECTIONS = 512

MOST_AWAITED = 32
"""The maximum number of connections from one address without a complete request. A browser keeps six open."""
REQUEST_EXPECTED_S = 1.0
"""Seconds after which a connection counts towards this maximum. Even 100 simultaneous requests arrive in that time."""


class TimeLimitedProtocol(H11Protocol):
    """Closes connections whose clients do not send a request or accept a response. uvicorn would wait for them forever.

    A connection is closed if its client does not send headers or accept a response in time. If too many connections
    from one address are waiting for a request, those that have waited longest are closed. This second limit does not
    apply to proxies.
    """

    _waiting: asyncio.TimerHandle | None = None
    _waits_since = 0.0
    _sending: asyncio.TimerHandle | None = None

    def __init__(self, proxies: Proxies, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._proxies = proxies

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # pause writing while any data is unsent
        self._watch()
        self._begin_to_wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._begin_to_wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._stop_watching_answer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._sending = self.loop.call_later(SEND_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_watching_answer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's message
        """Respond to invalid HTTP in the same format as other errors, and close the connection."""
        detail = "not a valid HTTP request, or its URL and headers are larger than 64 kB"
        content = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": detail}
        headers = [(b"content-type", PROBLEM.encode()), (b"connection", b"close")]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=json_text(content).encode()),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    @property
    def _awaits_head(self) -> bool:
        return self.conn.their_state is h11.IDLE and not self.transport.is_closing()

    @property
    def _awaits_request(self) -> bool:
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY) and not self.transport.is_closing()

    def _watch(self) -> None:
        if not self._awaits_head:
            self._stop_watching()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_TIMEOUT_S, self._give_up)

    def _stop_watching(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _stop_watching_answer(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _give_up(self) -> None:
        self._waiting = None
        if self._awaits_head:
            self.transport.close()

    def _begin_to_wait(self) -> None:
        self._waits_since = self.loop.time()
        if self.client is not None and self.client[0] not in self._proxies:
            self.loop.call_later(REQUEST_EXPECTED_S, self._close_longest_waiting, self.client[0])

    def _close_longest_waiting(self, address: str) -> None:
        """Close the connections from an address that have waited longest for a request; keep the allowed number."""
        if not self._awaits_request:
            return
        before = self.loop.time() - REQUEST_EXPECTED_S
        waiting = sorted(
            (
                other
                for other in self.connections
                if isinstance(other, TimeLimitedProtocol)
                and other.client is not None
                and other.client[0] == address
                and other._awaits_request
                and other._waits_since <= before
            ),
            key=lambda other: other._waits_since,
        )
        for other in waiting[:-MOST_AWAITED]:
            other.transport.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises PixsearchError if the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio turns off Nagle's algorithm, which delays each response by 40 ms, only if the protocol is set to TCP.
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()
    except OSError as error:
        raise PixsearchError(
            f"cannot listen on {host} port {port}: {error.strerror}", "Choose a different address with --host or --port"
        ) from error
    return listening


def server_of(app: ASGIApp, proxies: Proxies, *, log_requests: bool = False) -> uvicorn.Server:
    logs = copy.deepcopy(uvicorn.config.LOGGING_CONFIG)
    logs["handlers"]["access"]["stream"] = "ext://sys.stderr"
    config = uvicorn.Config(
        app,
        log_config=logs,
        http=cast(type[asyncio.Protocol], partial(TimeLimitedProtocol, proxies)),
        # Without this, the environment variable FORWARDED_ALLOW_IPS would determine the trusted proxies.
        forwarded_allow_ips=[str(network) for network in proxies.networks],
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
    """Serve until stopped."""
    with suppress(KeyboardInterrupt):  # the usual way to stop
        server.run(sockets=[listening])

"""Hostile requests and the responses they get.

There are more elsewhere: path traversal in test_photos_api; foreign Host or Origin headers and bad tokens in
test_access.
"""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from threading import Thread

import httpx2
import pytest
import uvicorn
from httpx2 import Response
from starlette.testclient import TestClient

from pixsearch.model.late_scores import ReadText
from pixsearch_cli.web import guard, server
from pixsearch_cli.web.access import access_at
from pixsearch_cli.web.proxies import Proxies, proxies_at
from tests.cli.web.conftest import Serve
from tests.cli.web.test_search_api import problem
from tests.colour_runtime import ColourRuntime, Floats
from tests.photos import picture_bytes, png_header


def test_an_upload_that_says_it_is_too_large_is_not_read(client: TestClient) -> None:
    headers = {"Content-Length": str(guard.BODY_LIMIT_BYTES + 1), "Content-Type": "application/json"}

    assert problem(client.post("/api/search", content=b"", headers=headers))[0] == 413


def test_an_upload_that_does_not_say_so_is_read_no_further(serve: Serve) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 << 20:
            sent += 1 << 16
            yield bytes(1 << 16)

    try:
        answer = httpx2.post(f"{serve()}/api/search", content=endless(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    except httpx2.NetworkError:  # the connection was closed during the request
        pass
    assert sent < 64 << 20


def test_a_picture_that_unfolds_to_gigabytes_is_not_decoded(client: TestClient) -> None:
    sent = client.post("/api/search", files={"picture": png_header(100_000, 100_000)})

    assert problem(sent) == (422, "the picture: more than 300 megapixels")


def test_a_picture_that_crashes_its_decoder_takes_nothing_along(client: TestClient) -> None:
    for cut in range(8, 60, 4):
        sent = client.post("/api/search", files={"picture": picture_bytes("red", "WEBP")[:cut]})
        assert problem(sent)[0] == 422

    assert client.get("/api/search?q=red").status_code == 200


def test_a_client_that_does_not_say_what_it_wants_is_hung_up_on(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.3)
    host, port = serve().removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert slow.recv(100) == b""  # closed without a response


def test_a_client_that_drips_its_head_is_hung_up_on_as_well(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_TIMEOUT_S", 0.3)
    host, port = serve().removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=0.05) as slow:
        began = time.monotonic()
        closed = False
        while not closed and time.monotonic() - began < 10:
            try:
                slow.sendall(b"G")
                closed = slow.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
        assert closed


def test_a_client_that_does_not_send_its_body_is_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.3)
    host, port = serve().removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=10) as slow:
        head = (
            f"POST /api/search HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: 9"
        )
        slow.sendall(head.encode() + b"\r\n\r\n{")

        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_no_http_at_all_is_refused(serve: Serve) -> None:
    host, port = serve().removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=10) as stranger:
        stranger.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")

        assert stranger.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_what_is_not_http_gets_a_problem_as_every_other_error_does(serve: Serve) -> None:
    host, port = serve().removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=10) as stranger:
        stranger.sendall(b"HELLO\r\n\r\n")
        head, _, body = stranger.makefile("rb").read().partition(b"\r\n\r\n")

    assert b"content-type: application/problem+json" in head.lower()
    assert json.loads(body)["detail"] == ("not a valid HTTP request, or its URL and headers are larger than 64 kB")


def test_a_head_without_end_is_refused(serve: Serve) -> None:
    address = serve()

    with suppress(httpx2.NetworkError):  # the connection may be closed during the request
        assert httpx2.get(f"{address}/api/health", headers={"X-Long": "x" * 200_000}).status_code == 400
    assert httpx2.get(f"{address}/api/health").status_code == 200


def test_many_unknown_fields_are_one_error_and_cost_nothing(client: TestClient) -> None:
    fields = {f"a{number}": 1 for number in range(6000)}
    began = time.process_time()

    answer = client.post("/api/search", json=fields)

    assert problem(answer) == (422, "unknown field 'a0', 'a1', 'a10' and 5,997 more")
    assert len(answer.json()["errors"]) == 1
    assert time.process_time() - began < 1
    assert problem(client.get("/api/search", params=fields))[1].startswith("query: unknown field 'a0'")


@pytest.mark.parametrize("sent", ["json", "form"])
def test_a_query_as_json_is_64_kb_at_most(client: TestClient, sent: str) -> None:
    def ask(size: int) -> Response:
        text = '{"q": "red"}'.ljust(size)
        if sent == "json":
            return client.post("/api/search", content=text, headers={"Content-Type": "application/json"})
        return client.post("/api/search", data={"query": text}, files={"picture": picture_bytes("red")})

    assert ask(64 * 1024).status_code == 200
    assert problem(ask(64 * 1024 + 1))[0] in (400, 413)


def test_a_body_of_two_lengths_is_refused_and_nothing_after_it_is_read(serve: Serve) -> None:
    host, port = serve().removeprefix("http://").split(":")
    head = f"POST /api/search HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    smuggled = f"GET /api/health HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"

    with socket.create_connection((host, int(port)), timeout=10) as stranger:
        stranger.sendall(f"{head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}".encode())
        answered = read_to_end(stranger)

    assert answered.startswith(b"HTTP/1.1 400 ")
    assert answered.count(b"HTTP/1.1") == 1


def test_who_is_refused_before_its_body_has_come_is_hung_up_on(serve: Serve) -> None:
    """Otherwise, a slow client would hold the connection for as long as it sends."""
    host, port = serve(access_at("127.0.0.1", "a token of this test")).removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(f"POST /api/search HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 9\r\n\r\n{{".encode())
        answered = read_to_end(slow)

    assert answered.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in answered.lower()


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=b"]
)
@pytest.mark.parametrize("token", [None, "a token of this test"])
def test_a_client_that_goes_away_is_nothing_to_write_into_the_log(
    serve: Serve, stop_servers: Callable[[], None], capfd: pytest.CaptureFixture[str], kind: str, token: str | None
) -> None:
    address = serve(access_at("127.0.0.1", token))
    host, port = address.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=10) as gone:
        head = f"POST /api/search HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 90\r\n\r\n"
        gone.sendall(head.encode() + b"--b")
    assert httpx2.get(f"{address}/api/health").status_code == 200
    stop_servers()

    assert capfd.readouterr().err == ""


def read_to_end(connection: socket.socket) -> bytes:
    read = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            read += part
    return read


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /api/health HTTP/1.1\r\n",
        b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\nt",
    ],
    ids=["nothing", "half a head", "a whole request", "half a body"],
)
def test_one_address_cannot_take_all_connections_and_a_proxy_may(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(server, "MOST_AWAITED", 4)
    monkeypatch.setattr(server, "REQUEST_EXPECTED_S", 0.3)
    access = access_at("127.0.0.1", "a token of this test")

    assert how_many_stay(serve(access, proxies=Proxies(())), sent) == 4
    assert how_many_stay(serve(access, proxies=proxies_at()), sent) == 10


def test_what_has_come_just_now_may_still_send_its_request(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_AWAITED", 1)
    monkeypatch.setattr(server, "REQUEST_EXPECTED_S", 2.0)
    host, port = serve(proxies=Proxies(())).removeprefix("http://").split(":")

    with ExitStack() as stack:
        stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
        time.sleep(1.0)
        late = [stack.enter_context(socket.create_connection((host, int(port)), timeout=10)) for _ in range(3)]
        time.sleep(1.3)  # the first connection's time is up

        assert [is_open(one) for one in late] == [True] * 3


def test_who_does_not_take_its_answers_is_hung_up_on(
    serve: Serve, servers: list[tuple[uvicorn.Server, Thread]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEND_TIMEOUT_S", 0.3, raising=False)
    host, port = serve(access_at("127.0.0.1", "a token of this test")).removeprefix("http://").split(":")
    connections = servers[0][0].server_state.connections

    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(0.2)
        deaf.connect((host, int(port)))
        with suppress(OSError):  # nothing more fits, or the connection was closed
            while True:
                deaf.sendall(f"GET /static/style.css HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 100)
        assert is_soon(lambda: not connections)


def test_who_reads_slowly_gets_all_of_its_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_TIMEOUT_S", 1.0, raising=False)
    host, port = serve().removeprefix("http://").split(":")
    requests = f"GET /static/style.css HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * 1000
    length = len(httpx2.get(f"http://{host}:{port}/static/style.css").content)
    read = 0

    with socket.create_connection((host, int(port)), timeout=10) as slow:
        slow.sendall(requests)
        while read < 1000 * length:
            read += len(slow.recv(1 << 20))
            time.sleep(0.05)

    assert read >= 1000 * length


def test_answers_are_not_held_back_until_the_one_before_was_acknowledged(
    serve: Serve, servers: list[tuple[uvicorn.Server, Thread]]
) -> None:
    address = serve()
    with httpx2.Client() as client:
        client.get(f"{address}/api/health")
        (connection,) = servers[0][0].server_state.connections

        assert connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def is_soon(state: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not (reached := state()) and time.monotonic() < until:
        time.sleep(0.01)
    return reached


def how_many_stay(address: str, sent: bytes) -> int:
    """Return how many of ten connections that send this and wait are still open after the request head timeout."""
    host, port = address.removeprefix("http://").split(":")
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection((host, int(port)), timeout=10)) for _ in range(10)]
        for one in slow:
            one.sendall(sent)
        time.sleep(2 * server.REQUEST_EXPECTED_S)
        return sum(is_open(one) for one in slow)


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        while connection.recv(1 << 16):
            pass
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def test_a_hundred_requests_of_one_address_at_once_are_all_answered(serve: Serve) -> None:
    address = serve(proxies=Proxies(()))

    with ThreadPoolExecutor(100) as threads:
        answers = list(threads.map(lambda _: httpx2.get(f"{address}/api/health", timeout=60).status_code, range(100)))

    assert answers == [200] * 100


@pytest.mark.slow
def test_of_two_hundred_at_a_time_some_are_sent_away_and_the_others_answered(
    serve: Serve, model: ColourRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = serve()
    at_once = model.match

    def slowly(texts: Sequence[ReadText], grids: Sequence[bytes], late_scores: Floats) -> Floats:
        time.sleep(0.02)
        return at_once(texts, grids, late_scores)

    monkeypatch.setattr(model, "match", slowly)

    def ask(number: int) -> int:
        return httpx2.get(f"{address}/api/search?q=red", timeout=60).status_code

    with ThreadPoolExecutor(200) as threads:
        counted = Counter(threads.map(ask, range(200)))

    assert set(counted) <= {200, 503}
    assert counted[200] >= 64  # the requests being handled and those that may wait
    assert ask(0) == 200

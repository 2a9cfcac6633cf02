"""What nobody should ask, and what it gets.

More of it: path traversal in test_photos_api; a foreign Host or Origin and a bad token in test_access.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import pytest
from starlette.testclient import TestClient

from pixsearch.model.late_scores import ReadText
from pixsearch_cli.web import access, server
from tests.cli.web.conftest import Serve
from tests.cli.web.test_search_api import problem
from tests.colour_runtime import ColourRuntime, Floats
from tests.photos import picture_bytes, png_header


def test_an_upload_that_says_it_is_too_large_is_not_read(client: TestClient) -> None:
    headers = {"Content-Length": str(access.BODY_LIMIT_BYTES + 1), "Content-Type": "application/json"}

    assert problem(client.post("/api/search", content=b"", headers=headers))[0] == 413


def test_an_upload_that_does_not_say_so_is_read_no_further(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "BODY_LIMIT_BYTES", 1 << 20)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 << 20:
            sent += 1 << 16
            yield bytes(1 << 16)

    try:
        answer = httpx2.post(f"{serve()}/api/search", content=endless(), headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
    except httpx2.NetworkError:  # the connection was closed while it was still sending
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
        assert slow.recv(100) == b""  # closed, without an answer


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
    monkeypatch.setattr(access, "BODY_TIMEOUT_S", 0.3)
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


def test_a_head_without_end_is_refused(serve: Serve) -> None:
    address = serve()

    with suppress(httpx2.NetworkError):  # the connection may be closed while it is still sending
        assert httpx2.get(f"{address}/api/health", headers={"X-Long": "x" * 200_000}).status_code == 400
    assert httpx2.get(f"{address}/api/health").status_code == 200


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
    assert counted[200] >= 64  # what is at work and may wait
    assert ask(0) == 200

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cli.conftest import Run
from tests.faults.conftest import COMMAND, PROJECT

Serving = tuple[subprocess.Popen[str], str]
Start = Callable[..., Serving]


@pytest.fixture
def start(indexed: Path) -> Iterator[Start]:
    """Starts the command on the library, and gives it with the address that it prints."""
    running: list[subprocess.Popen[str]] = []
    packages = [PROJECT, *(PROJECT / folder for folder in ("cli", "indexer", "trainer"))]

    def serve(*options: str) -> Serving:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--library", str(indexed), *options],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, packages))},
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stderr is not None
        said = process.stderr.readline()
        address = re.search(r"http://\S+", said)
        assert address is not None, said
        return process, address[0]

    yield serve
    for process in running:
        process.kill()
        process.communicate()


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code, and what it said after its address."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_it_says_where_it_is_answers_there_and_ends_by_ctrl_c(start: Start) -> None:
    process, address = start()

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    assert len(httpx2.get(f"{address}api/search?q=red").json()["hits"]) == 3
    assert "pixsearch" in httpx2.get(address).text
    assert stopped(process) == (0, "")


def test_what_was_asked_is_only_said_if_one_asks_for_it(start: Start) -> None:
    process, address = start("--log-requests")
    httpx2.get(f"{address}api/search?q=red")

    assert "GET /api/search?q=red" in stopped(process)[1]


def test_another_host_prints_a_token_without_which_nobody_is_answered(start: Start) -> None:
    _, address = start("--host", "0.0.0.0")
    plain, _, token = address.partition("?token=")

    assert len(token) >= 32
    assert httpx2.get(f"{plain}api/status").status_code == 401
    assert httpx2.get(f"{plain}api/status", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert httpx2.get(address, follow_redirects=True).status_code == 200


def test_a_token_that_can_be_guessed_is_wrong_usage(run: Run, indexed: Path) -> None:
    outcome = run("serve", "--token", "1234")

    assert outcome.exit_code == 2
    assert outcome.stderr == "pixsearch: a token of 4 characters can be guessed. Take 16 or more, or none\n"


def test_a_port_that_is_taken_is_said(run: Run, indexed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run("serve", "--port", str(port))

    assert outcome.exit_code == 1
    assert outcome.stderr == (
        f"pixsearch: cannot listen at 127.0.0.1 port {port}: Address already in use. "
        "Choose others with --host and --port\n"
    )


def test_a_host_that_there_is_not_is_said(run: Run, indexed: Path) -> None:
    outcome = run("serve", "--host", "nowhere.invalid", "--port", "0")

    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("pixsearch: cannot listen at nowhere.invalid port 0: ")


def test_without_a_library_there_is_nothing_to_serve(run: Run, library: Path) -> None:
    outcome = run("serve", "--port", "0")

    assert outcome.exit_code == 1
    assert "Make one with: pixsearch index FOLDER" in outcome.stderr

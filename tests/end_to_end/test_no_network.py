"""Only `pixsearch model get` uses the network. No other command looks up a name, connects to a different machine, or
sends anything to the server in HF_ENDPOINT.

Python code is watched in all of a command's processes. Native code that opens sockets itself is not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pixsearch.model.conversion import convert
from tests.end_to_end.conftest import COMMAND, Finished
from tests.hub_server import HubServer, hub_server
from tests.photos import make_photo
from tests.tiny_dual_encoders import make_tiny_dual_encoder
from tests.tiny_matching_models import make_tiny_matching_model

pytestmark = pytest.mark.slow

GUARD = """
import os, sys

def note(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        host = arguments[1][0] if isinstance(arguments[1], tuple) else ""
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0] or ""
    else:
        return
    if host not in ("", "127.0.0.1", "::1", "localhost"):
        descriptor = os.open(os.environ["SEEN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{event} {host}\\n".encode())
        os.close(descriptor)

sys.addaudithook(note)
"""

Watched = Callable[..., Finished]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture(scope="module")
def seen(home: Path) -> Path:
    """The file in which the guard records what it sees."""
    return home / "seen.txt"


@pytest.fixture(scope="module")
def variables(home: Path, hub: HubServer, seen: Path, tiny_checkpoint: Path) -> dict[str, str]:
    (home / "guard").mkdir()
    (home / "guard/sitecustomize.py").write_text(GUARD)
    data = home / "data"
    make_tiny_dual_encoder(data / "pixsearch/models/hub/org--tiny", "CLIP")
    convert(data / "pixsearch/models/hub/org--tiny")
    make_tiny_matching_model(data / "pixsearch/models/hub/org--matching", "BLIP")
    for colour in ("red", "blue"):
        make_photo(home / f"photos/{colour}.png", colour)
        (home / f"photos/{colour}.txt").write_text(f"a {colour} wall")
    return {
        **os.environ,
        "HOME": str(home),
        "XDG_DATA_HOME": str(data),
        "PYTHONPATH": os.pathsep.join([str(home / "guard"), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "HF_ENDPOINT": hub.address,
        "SEEN": str(seen),
        "PIXSEARCH_MODEL": str(tiny_checkpoint),
    }


@pytest.fixture(scope="module")
def watched(home: Path, variables: dict[str, str]) -> Watched:
    def run(*arguments: str) -> Finished:
        command = [str(COMMAND), *arguments] if arguments[0] != "-c" else [sys.executable, *arguments]
        return subprocess.run(command, env=variables, cwd=home, capture_output=True, text=True, check=False)

    return run


def test_the_guard_sees_whoever_opens_the_network(watched: Watched, hub: HubServer, seen: Path) -> None:
    watched("-c", "import urllib.request; urllib.request.urlopen('http://pixsearch.invalid')")
    watched("model", "get", "hub:org/none", "--yes")

    assert seen.read_text() == "socket.getaddrinfo pixsearch.invalid\n"
    assert [request.path for request in hub.requests] == ["/api/models/org/none?blobs=true"]
    seen.unlink()
    hub.requests.clear()


def test_searching_and_training_never_open_the_network(watched: Watched, hub: HubServer, seen: Path) -> None:
    for arguments in (
        ["index", "photos"],
        ["query", "red"],
        ["explain", "red", "photos/red.png", "--model", "shipped"],
        ["index", "photos", "--library", "other", "--model", "hub:org/tiny"],
        ["query", "red", "--library", "other", "--model", "hub:org/tiny"],
        ["query", "red", "--rerank-model", "hub:org/matching"],
        ["model", "list"],
        ["model", "show", "hub:org/tiny"],
        ["add-graphs", "hub:org/tiny"],
        ["train", "--teacher", "hub:org/tiny", "--data", "photos", "--out", "new", "--dry-run"],
    ):
        finished = watched(*arguments)
        assert finished.returncode == 0, (arguments, finished.stderr)

    assert hub.requests == []
    assert not seen.exists()


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        (["index", "photos", "--model", "hub:org/other"], "pixsearch model get hub:org/other"),
        (["query", "red", "--model", "hub:org/other"], "pixsearch model get hub:org/other"),
        (["train", "--teacher", "org/other", "--data", "photos", "--out", "x"], "pixsearch model get hub:org/other"),
    ],
)
def test_what_is_not_there_is_named_with_the_command_that_downloads_it(
    watched: Watched, hub: HubServer, seen: Path, arguments: list[str], command: str
) -> None:
    watched("index", "photos")

    finished = watched(*arguments)

    assert finished.returncode != 0
    assert command in finished.stderr.splitlines()[-1]
    assert hub.requests == []
    assert not seen.exists()


def test_the_page_starts_without_the_network(
    home: Path, variables: dict[str, str], watched: Watched, hub: HubServer, seen: Path
) -> None:
    watched("index", "photos")
    with subprocess.Popen(
        [COMMAND, "serve", "--port", "0"], env=variables, cwd=home, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None
        try:
            assert " at http://127.0.0.1" in server.stderr.readline()
        finally:
            server.send_signal(signal.SIGINT)

    assert hub.requests == []
    assert not seen.exists()

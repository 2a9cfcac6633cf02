from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import httpx2
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.faults.conftest import COMMAND, PROJECT

PACKAGES = [PROJECT, *(PROJECT / folder for folder in ("cli", "indexer", "trainer"))]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PACKAGES))}
FIB_TRIE = Path("/proc/net/fib_trie")

Serving = tuple[subprocess.Popen[str], str]
Start = Callable[..., Serving]


@pytest.fixture
def start(indexed: Path) -> Iterator[Start]:
    """A function that starts the command on the library and returns the process and the address it prints."""
    running: list[subprocess.Popen[str]] = []

    def serve(*options: str, environment: Mapping[str, str] = MappingProxyType({})) -> Serving:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--port", "0", "--library", str(indexed), *options],
            env={**ENVIRONMENT, **environment},
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
    """Stop the process, and return its exit code and what it printed after its address."""
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = process.stderr.read()  # communicate() would lose what arrived together with the first line
    return process.wait(timeout=60), said


def test_it_says_where_it_is_answers_there_and_ends_by_ctrl_c(start: Start) -> None:
    process, address = start()

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
    assert len(httpx2.get(f"{address}api/search?q=red").json()["hits"]) == 3
    assert "pixsearch" in httpx2.get(address).text
    assert stopped(process) == (0, "")


@pytest.fixture
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """The environment for a cache folder that contains only what the test stores there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


def thumbnail_by_name(address: str, name: str, size: str = "small") -> httpx2.Response:
    (hit,) = httpx2.get(f"{address}api/search", params={"name": name, "k": 1}).json()["hits"]
    return httpx2.get(f"{address}api/photos/{hit['id']}/thumbnail", params={"size": size})


def test_the_small_thumbnails_of_a_run_are_shown_without_the_photos(
    start: Start, run: Run, photos: Path, own_cache: dict[str, str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be rotated by 90 degrees
    Image.new("RGB", (20, 10), "lime").save(photos / "held.jpg", exif=exif)
    assert run("index", photos).exit_code == 0
    (photos / "held.jpg").unlink()
    _, address = start(environment=own_cache)

    small, large = (thumbnail_by_name(address, "held", size) for size in ("small", "large"))

    picture = Image.open(BytesIO(small.content))
    assert (small.status_code, small.headers["content-type"], picture.size) == (200, "image/jpeg", (10, 20))
    assert picture.getpixel((5, 10)) == pytest.approx((0, 255, 0), abs=5)
    assert large.status_code == 404  # it is made only on request, and the photo is gone


@pytest.mark.parametrize("damage", ["rot", "missing"])
def test_a_small_thumbnail_that_is_damaged_or_missing_is_made_again(
    start: Start, run: Run, photos: Path, own_cache: dict[str, str], tmp_path: Path, damage: str
) -> None:
    Image.new("RGB", (20, 10), "lime").save(photos / "lime.png")
    assert run("index", photos).exit_code == 0
    (kept,) = (tmp_path / "cache" / "pixsearch" / "thumbnails").iterdir()
    drawn = kept.read_bytes()
    kept.write_bytes(drawn[:-50]) if damage == "rot" else kept.unlink()
    _, address = start(environment=own_cache)

    answer = thumbnail_by_name(address, "lime")

    assert Image.open(BytesIO(answer.content)).size == (20, 10)
    assert kept.read_bytes() == drawn


def test_a_server_that_only_reads_claims_room_for_its_library_s_thumbnails(
    start: Start, own_cache: dict[str, str], tmp_path: Path
) -> None:
    process, address = start(environment=own_cache)
    assert httpx2.get(f"{address}api/status").status_code == 200  # the server has started by now

    (claim,) = (tmp_path / "cache" / "pixsearch" / "thumbnail-claims").iterdir()
    assert claim.read_text() == "3"  # red, pink and blue, which has a copy
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


@pytest.mark.skipif(not FIB_TRIE.exists(), reason="only Linux lists its addresses in a file")
def test_every_address_that_this_machine_has_in_a_network_is_printed(start: Start) -> None:
    process, first = start("--host", "0.0.0.0")
    kernel = set(re.findall(r"\|-- ([\d.]+)\n +/32 host LOCAL", FIB_TRIE.read_text()))
    said = stopped(process)[1]
    printed = re.findall(r"http://([\d.]+):\d+/\?token=", f"{first}\n{said}")

    assert printed
    assert len(set(printed)) == len(printed)
    assert set(printed) == {address for address in kernel if not address.startswith("127.")}


def test_behind_a_proxy_the_token_is_printed_for_here_and_for_there(start: Start) -> None:
    process, address = start("--root-path", "/photos", "--allow-host", "photos.example.org")

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/photos/\?token=[\w-]{32}", address)
    assert httpx2.get(address.partition("?")[0]).status_code == 401
    assert httpx2.get(address, follow_redirects=True).status_code == 200
    _, said = stopped(process)
    assert said == f"pixsearch: behind the proxy at photos.example.org/photos/?token={address.partition('=')[2]}\n"


def test_behind_a_proxy_that_knows_who_asks_there_need_be_no_token(start: Start) -> None:
    _, address = start("--root-path", "/photos", "--no-token")

    assert httpx2.get(address).status_code == 200


def test_the_config_file_may_say_where_the_proxy_is(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "pixsearch"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(
        '[serve]\nroot-path = "/photos"\nallow-host = ["photos.example.org"]\ntrust-proxy = ["10.0.0.5"]\n'
    )

    _, address = start(environment={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    plain, _, token = address.partition("?token=")
    headers = {"Host": "photos.example.org", "Authorization": f"Bearer {token}"}

    assert plain.endswith("/photos/")
    assert httpx2.get(f"{plain}api/status", headers=headers).status_code == 200


def test_a_token_that_was_named_is_not_written_into_a_log(start: Start) -> None:
    token = "a-token-of-this-test"
    process, address = start("--token", token, "--log-requests")

    assert httpx2.get(f"{address}?q=red&token={token}", follow_redirects=True).status_code == 200
    assert httpx2.get(f"{address}?q=red&token=wrong{token}").status_code == 401
    said = stopped(process)[1]
    assert "GET /?q=red" in said
    assert token not in address + said


def test_a_log_has_nothing_that_a_terminal_acts_upon(start: Start) -> None:
    process, address = start("--log-requests")

    assert httpx2.get(f"{address}api/health", headers={"X-Forwarded-For": "\x1b[2J"}).status_code == 200
    assert httpx2.get(f"{address}api/health?q=%1b[2J", headers={"X-Forwarded-For": "10.0.0.7"}).status_code == 200
    said = stopped(process)[1]
    assert "10.0.0.7" in said
    assert "\x1b" not in said


def test_a_terminal_gets_a_code_for_a_phone_s_camera(indexed: Path) -> None:
    said = in_a_terminal(indexed, "--host", "0.0.0.0")
    said_alone = in_a_terminal(indexed)

    assert "?token=" in said
    assert len(re.findall(r"\x1b\[97;40m[█▀▄ ]{30,}\x1b\[0m", said)) > 15
    assert "█" not in said_alone


def in_a_terminal(library: Path, *options: str) -> str:
    """Return the command's output in a terminal until it is interrupted."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--library", str(library), *options],
        env=ENVIRONMENT | {"PYTHONIOENCODING": "utf-8"},
        stderr=its,
    )
    os.close(its)
    said = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, suppress(OSError):
        while part := terminal.read(1 << 16):
            said += part
            if b"Ctrl-C" in said:
                process.send_signal(signal.SIGINT)
    process.wait(60)
    return said.decode()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--no-token", "--token", "x" * 16), "--token and --no-token cannot be used together. Omit one of them"),
        (("--root-path", "/a b"), "--root-path '/a b' is not a path. Use letters, digits and slashes, e.g. /photos"),
        (
            ("--allow-host", "https://photos.example.org"),
            "--allow-host 'https://photos.example.org' is not a host name. "
            "Use a bare host name, e.g. photos.example.org",
        ),
        (
            ("--trust-proxy", "*"),
            "--trust-proxy '*' is not an address or a network. Use e.g. 10.0.0.5 or 10.0.0.0/24",
        ),
    ],
)
def test_what_is_said_wrongly_of_a_proxy_is_wrong_usage(
    run: Run, indexed: Path, options: tuple[str, ...], said: str
) -> None:
    outcome = run("serve", "--port", "0", *options)

    assert (outcome.exit_code, outcome.stderr) == (2, f"pixsearch: {said}\n")


def test_a_token_that_can_be_guessed_is_wrong_usage(run: Run, indexed: Path) -> None:
    outcome = run("serve", "--token", "1234")

    assert outcome.exit_code == 2
    assert outcome.stderr == (
        "pixsearch: the token is too short (4 characters). Use 16 characters or more, or omit the token\n"
    )


def test_a_port_that_is_taken_is_said(run: Run, indexed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = run("serve", "--port", str(port))

    assert outcome.exit_code == 1
    assert outcome.stderr == (
        f"pixsearch: cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Choose a different address with --host or --port\n"
    )


def test_a_host_that_there_is_not_is_said(run: Run, indexed: Path) -> None:
    outcome = run("serve", "--host", "nowhere.invalid", "--port", "0")

    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("pixsearch: cannot listen on nowhere.invalid port 0: ")


def test_without_a_library_there_is_nothing_to_serve(run: Run, library: Path) -> None:
    outcome = run("serve", "--port", "0")

    assert outcome.exit_code == 1
    assert "Create one with: pixsearch index FOLDER" in outcome.stderr


@pytest.mark.parametrize("token", [" spaces at both ends ", "a line break\nin the middle", "this is no text: \udcff"])
def test_a_token_that_programs_cannot_send_is_wrong_usage(run: Run, indexed: Path, token: str) -> None:
    outcome = run("serve", "--token", token, "--host", "no.such.host.invalid")

    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(
        "pixsearch: the token begins or ends with a space, or contains a character that HTTP headers do not allow. "
    )

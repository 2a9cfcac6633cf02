"""Text in photos, read and found by the installed command, with the model and the OCR reader that users have."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import rapidocr  # noqa: F401 - what is tested

from pixsearch import Library
from pixsearch.errors import LibraryNotFound
from tests.end_to_end.conftest import COMMAND, Pixsearch
from tests.photos import make_photo
from tests.postgres import PostgresServer
from tests.signs import NO_LITTER, make_sign, sign

pytestmark = pytest.mark.slow

MANY = 150
PATIENCE_S = 120.0


@pytest.fixture(params=["sqlite", "postgresql"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "library")
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A sign among pictures of nothing and signs with different text."""
    folder = tmp_path / "photos"
    for colour in ("red", "green", "blue"):
        make_photo(folder / f"{colour}.png", colour, size=(320, 240))
    make_sign(folder / "1.png", ["CORNER BAKERY", "open until 18:00"])
    make_sign(folder / "2.png", ["Platform 7", "Paderborn Hbf"])
    sign(turned=90).save(folder / "3.png")
    return folder


def best(pixsearch: Pixsearch, location: str, words: str) -> str:
    lines = pixsearch("query", words, "--json", "--library", location).stdout.splitlines()
    return Path(json.loads(lines[0])["path"]).name


def test_a_sign_is_found_by_what_is_written_on_it(pixsearch: Pixsearch, location: str, photos: Path) -> None:
    read = pixsearch("index", photos, "--ocr", "--library", location)

    assert read.stdout == "6 photos: 6 encoded, 0 unchanged, 0 failed, 6 pictures read for text\n"
    assert read.returncode == 0
    assert best(pixsearch, location, "no litter") == "3.png"
    assert best(pixsearch, location, "paderborn") == "2.png"
    assert best(pixsearch, location, "corner bakery") == "1.png"
    assert pixsearch("verify", "--library", location).returncode == 0


def test_what_was_read_is_there_after_a_move_and_not_read_again(
    pixsearch: Pixsearch, location: str, photos: Path
) -> None:
    pixsearch("index", photos, "--ocr", "--library", location)
    (photos / "3.png").rename(photos / "moved.png")

    again = pixsearch("index", "--library", location)

    assert again.stdout == "6 photos: nothing encoded, 5 unchanged, 1 moved or copied, 1 forgotten, 0 failed\n"
    assert best(pixsearch, location, "no litter") == "moved.png"


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Enough signs for half a minute."""
    for number in range(MANY):
        make_sign(tmp_path / "photos" / f"{number}.png", [f"Sign {number}", *NO_LITTER])
    return tmp_path / "photos"


def read_so_far(library: Path) -> int:
    """Return how many pictures have been read, or 0 until all are indexed."""
    with suppress(LibraryNotFound), Library.open(library) as opened:
        status = opened.status()
        unread = sum(root.unread for root in status.roots)
        return status.contents - unread if status.contents >= MANY else 0
    return 0


def wait_until_read(library: Path, count: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while read_so_far(library) < count:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture
def reading(many: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in progress that has stored the text on the first signs."""
    command = [str(COMMAND), "index", str(many), "--ocr", "--library", str(tmp_path / "library")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until_read(tmp_path / "library", 1)
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_reading_that_is_stopped_goes_on_where_it_was(
    reading: subprocess.Popen[str], pixsearch: Pixsearch, tmp_path: Path, number: signal.Signals
) -> None:
    reading.send_signal(number)
    _, stderr = reading.communicate(timeout=PATIENCE_S)
    stored = read_so_far(tmp_path / "library")
    assert 0 < stored < MANY
    if number == signal.SIGINT:
        assert reading.returncode == 130
        assert f"all photos are indexed, and the text of {stored} of {MANY} pictures is kept" in stderr

    rest = pixsearch("index", "--library", tmp_path / "library", "--json")

    assert json.loads(rest.stdout)["read"] == MANY - stored


def test_new_photos_are_indexed_while_another_process_reads(
    reading: subprocess.Popen[str], pixsearch: Pixsearch, tmp_path: Path
) -> None:
    make_photo(tmp_path / "new" / "new.png", "red", size=(320, 240))

    first = pixsearch("index", tmp_path / "new", "--library", tmp_path / "library")
    assert reading.poll() is None
    others = [pixsearch("index", tmp_path / "new", "--library", tmp_path / "library") for _ in range(3)]

    assert first.stdout == "1 photo: 1 encoded, 0 unchanged, 0 failed\n"
    assert {one.returncode for one in (first, *others)} == {0}
    assert reading.wait(PATIENCE_S) == 0
    assert read_so_far(tmp_path / "library") == MANY + 1  # one of them is in a folder that is not read


def test_watch_reads_in_the_background_and_takes_in_new_photos_meanwhile(
    many: Path, pixsearch: Pixsearch, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    first = make_sign(tmp_path / "first" / "first.png", ["First"])
    assert pixsearch("index", first.parent, "--ocr", "--library", library).returncode == 0
    for photo in many.iterdir():
        photo.rename(first.parent / photo.name)
    command = [str(COMMAND), "watch", "--library", str(library)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until_read(library, 3)
            make_sign(first.parent / "new.png", ["A new one"])
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()

    assert lines[0] == f"{MANY + 1} photos: {MANY} encoded, 1 unchanged, 0 failed\n"
    before, after = (int(line.removesuffix(" pictures read for text\n")) for line in (lines[1], lines[3]))
    assert lines[2] == f"{MANY + 2} photos: 1 encoded, {MANY + 1} unchanged, 0 failed\n"
    assert before < MANY
    assert before + after == MANY + 1

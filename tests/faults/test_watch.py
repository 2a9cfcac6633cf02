"""Tests of a `pixsearch watch` process that only reacts to changes on disk."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Pixsearch, Start
from tests.faults.test_killed import stored
from tests.photos import make_photo

PATIENCE_S = 60.0
BURST = 10_000


@pytest.fixture
def watching(photos: Path, pixsearch: Pixsearch, start: Start) -> Iterator[subprocess.Popen[str]]:
    """Start to watch a folder with one photo."""
    make_photo(photos / "first.png", (1, 2, 3))
    assert pixsearch("index", photos).returncode == 0
    with start("watch") as process:
        assert read_line(process, "stderr") == "pixsearch: watching 1 folder (press Ctrl-C to stop)\n"
        yield process
        process.kill()


def read_line(process: subprocess.Popen[str], stream: str) -> str:
    """Read a line byte by byte, because `select` does not see a second line in Python's buffers."""
    file = process.stdout if stream == "stdout" else process.stderr
    assert file is not None
    line = b""
    while not line.endswith(b"\n"):
        assert select.select([file], [], [], PATIENCE_S)[0], f"nothing more than {line!r} on {stream}"
        byte = os.read(file.fileno(), 1)
        assert byte, f"{stream} ended after {line!r}"
        line += byte
    return line.decode()


def wait_until(is_so: Callable[[], bool], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_what_comes_and_goes_is_found_without_being_asked_until_ctrl_c(
    watching: subprocess.Popen[str], photos: Path
) -> None:
    make_photo(photos / "new folder" / "second.png", (9, 8, 7))
    came = read_line(watching, "stdout")
    (photos / "first.png").unlink()
    went = read_line(watching, "stdout")
    watching.send_signal(signal.SIGINT)

    assert came == "2 photos: 1 encoded, 1 unchanged, 0 failed\n"
    assert went == "1 photo: nothing encoded, 1 unchanged, 1 forgotten, 0 failed\n"
    assert watching.wait(PATIENCE_S) == 0


@pytest.mark.slow
def test_texts_that_change_are_read_again(photos: Path, tmp_path: Path, pixsearch: Pixsearch, start: Start) -> None:
    make_photo(photos / "first.png", (1, 2, 3))
    texts = tmp_path / "texts.txt"
    texts.write_text("all red\n")
    assert pixsearch("index", photos, texts).returncode == 0
    with start("watch") as process:
        read_line(process, "stderr")
        texts.write_text("all red\nall blue\n")
        came = read_line(process, "stdout")
        process.kill()

    assert came == "0 photos: nothing encoded, 0 unchanged, 0 failed, 1 text encoded\n"  # the folder is not scanned


@pytest.mark.slow
def test_a_burst_of_files_is_all_taken_in(watching: subprocess.Popen[str], photos: Path, tmp_path: Path) -> None:
    for number in range(BURST):
        make_photo(photos / f"{number}.png", (number % 255 + 1, number // 255 + 1, 200))

    wait_until(lambda: len(stored(tmp_path / "library")) == BURST + 1, PATIENCE_S + BURST / 25)


@pytest.mark.slow
def test_a_folder_that_is_unplugged_keeps_its_photos_and_is_looked_through_when_it_is_back(
    watching: subprocess.Popen[str], photos: Path, tmp_path: Path
) -> None:
    photos.rename(tmp_path / "unplugged")
    offline = read_line(watching, "stderr")
    kept = stored(tmp_path / "library")
    assert read_line(watching, "stderr") == "pixsearch: watching 0 folders (press Ctrl-C to stop)\n"
    make_photo(tmp_path / "unplugged" / "second.png", (9, 8, 7))
    shutil.move(tmp_path / "unplugged", photos)
    back = read_line(watching, "stdout")

    assert offline == f"pixsearch: {photos} not found or empty: keeping its photos\n"
    assert kept.keys() == {str(photos / "first.png")}
    assert back == "2 photos: 1 encoded, 1 unchanged, 0 failed\n"

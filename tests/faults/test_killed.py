"""The indexer is killed at random moments, and the library is as good as before."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest

from tests.faults.conftest import Pixsearch, Start, found
from tests.photos import make_photo

KILLS = 200
PHOTOS = 400
PACE_S = 0.012
"""The model's time per picture, with which the whole folder takes some seconds."""
MOST_LOST_S = 5.0


def stored(library: Path) -> dict[str, str]:
    """Return the path and colour of every stored photo, bypassing our own code."""
    if not (library / "library.db").exists():
        return {}
    connection = sqlite3.connect(library / "library.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    tables = connection.execute("SELECT name FROM sqlite_master WHERE name = 'photos'").fetchall()
    rows = (
        connection.execute("SELECT path, grid FROM photos JOIN grids USING (content_id)").fetchall() if tables else []
    )
    connection.close()
    return {os.fsdecode(path): _colour(grid) for path, grid in rows}


def _colour(grid: bytes) -> str:
    """Return the colour that the test model stores as a grid."""
    return ",".join(str(round(255 * float(value))) for value in np.frombuffer(grid, dtype=np.float32))


def change_some(photos: Path, chance: random.Random, number: int) -> None:
    """Rename, delete, edit and add photos, so that there is more work."""
    files = sorted(photos.iterdir())
    for file in chance.sample(files, 20):
        file.rename(file.with_name(f"renamed {number} {file.name[-20:]}"))
    for file in chance.sample(sorted(photos.iterdir()), 250):
        make_photo(file, (number % 255 + 1, chance.randint(1, 255), chance.randint(1, 255)))
    for file in chance.sample(sorted(photos.iterdir()), 20):
        file.unlink()
    for new in range(20):
        make_photo(photos / f"new {number} {new}.png", (chance.randint(1, 255), number % 255 + 1, new + 1))


@pytest.mark.slow
def test_killed_at_any_moment_a_library_loses_no_committed_photo_and_redoes_no_more_than_seconds(
    tmp_path: Path, photos: Path, start: Start, pixsearch: Pixsearch
) -> None:
    chance = random.Random(0)
    for number in range(PHOTOS):
        make_photo(photos / f"{number}.png", (number % 255 + 1, number // 255 + 1, 9))
    library, log = tmp_path / "library", tmp_path / "log"
    longest_lost_s, killed, finished = 0.0, 0, 0
    while killed < KILLS:
        before, begun = stored(library), log.stat().st_size if log.exists() else 0
        with start("index", photos, COLOURS_LOG=str(log), COLOURS_PACE_S=str(PACE_S)) as process:
            time.sleep(chance.uniform(0.2, 4.0))
            killed_at = time.time()
            process.send_signal(signal.SIGKILL)

        after = stored(library)
        there = {str(path) for path in photos.iterdir()}
        assert {path for path in before if path in there} <= after.keys()
        encoded = [line.split() for line in log.read_text()[begun:].splitlines()] if log.exists() else []
        lost = [float(when) for when, colour in encoded if colour not in set(after.values())]
        longest_lost_s = max([longest_lost_s, *(killed_at - when for when in lost)])
        assert longest_lost_s <= MOST_LOST_S

        if after:
            answer = found(library)
            assert answer
            assert set(answer) <= after.keys()
        if process.returncode == 0:
            finished += 1
            change_some(photos, chance, finished)
        else:
            assert process.returncode == -signal.SIGKILL
            killed += 1

    last = pixsearch("index", photos)
    deep = pixsearch("verify", "--deep", "--json")

    assert last.returncode == 0, last.stderr
    assert deep.returncode == 0, deep.stdout
    verified = json.loads(deep.stdout)
    assert verified["photos"] == len(list(photos.iterdir()))
    assert verified["problems"] == []
    assert verified["stale"] == 0
    assert stored(library).keys() == {str(path) for path in photos.iterdir()}
    print(f"{killed} kills, {finished} runs ended before theirs; at most {longest_lost_s:.1f} s of work redone")


@pytest.mark.slow
@pytest.mark.parametrize("asked", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_asked_to_stop_it_keeps_what_is_done_says_how_to_go_on_and_exits_with_130(
    tmp_path: Path, photos: Path, start: Start, pixsearch: Pixsearch, asked: signal.Signals
) -> None:
    for number in range(PHOTOS):
        make_photo(photos / f"{number}.png", (number % 255 + 1, number // 255 + 1, 9))
    log = tmp_path / "log"
    with start("index", photos, COLOURS_LOG=str(log), COLOURS_PACE_S="0.01") as process:
        while not log.exists():
            assert process.poll() is None
        process.send_signal(asked)
        _, stderr = process.communicate(timeout=120)
    kept = len(stored(tmp_path / "library"))

    again = pixsearch("index", photos)

    assert process.returncode == 130
    assert stderr == (f"pixsearch: indexing stopped; {kept} encoded photos kept. Resume with: pixsearch index\n")
    assert 0 < kept < PHOTOS
    assert again.stdout == f"400 photos: {PHOTOS - kept} encoded, {kept} unchanged, 0 failed\n"


def test_no_decoder_outlives_a_killed_run(photos: Path, tmp_path: Path, start: Start) -> None:
    for number in range(100):
        make_photo(photos / f"{number}.png", (number + 1, 1, 9))
    log = tmp_path / "log"
    with start("index", photos, COLOURS_LOG=str(log), COLOURS_PACE_S="0.01") as process:
        while not log.exists():
            assert process.poll() is None
        process.kill()

    # The child processes end once the pipes they inherited are closed.
    deadline = time.monotonic() + 60
    while _running_under(str(tmp_path)):
        assert time.monotonic() < deadline


def _running_under(folder: str) -> list[str]:
    """Return the processes whose environment contains this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (process / "environ").read_bytes():
                found.append(process.name)
        except OSError:
            continue
    return found

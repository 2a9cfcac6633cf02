"""Real kills: the indexer runs in a process of its own and dies at a moment that nobody chose."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from pixsearch import Library
from pixsearch.pictures import open_picture
from pixsearch_indexer import index_folders
from tests.colour_runtime import ColourRuntime
from tests.photos import make_photo

PHOTOS = 200
KILLS = 6
BATCH = 8
INDEXER = f"""
import sys
from pathlib import Path
from pixsearch import Library
from pixsearch_indexer import index_folders, pipeline
from tests.colour_runtime import ColourRuntime

class WaitingRuntime(ColourRuntime):
    def encode_pictures(self, pictures):
        print("encoding", flush=True)
        sys.stdin.readline()
        return super().encode_pictures(pictures)

pipeline.ENCODE_AT_ONCE = {BATCH}
with Library.create(Path(sys.argv[1])) as library:
    index_folders(library, WaitingRuntime(), [Path(sys.argv[2])])
"""


def index_and_be_killed(library: Path, photos: Path, batches: int, after_s: float) -> None:
    """Index this many batches, and die at some moment of the last one's encoding, commit, or what comes then."""
    command = [sys.executable, "-c", INDEXER, str(library), str(photos)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(batches):
            assert process.stdout.readline() == "encoding\n"
            process.stdin.write("\n")
            process.stdin.flush()
        time.sleep(after_s)
        process.kill()


def stored_photos(library: Path) -> set[str]:
    """Read past our own code."""
    connection = sqlite3.connect(library / "library.db")
    rows = connection.execute("SELECT path FROM photos").fetchall()
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    return {path.decode() for (path,) in rows}


def test_killed_at_any_moment_a_library_keeps_what_was_committed_and_goes_on_from_there(
    tmp_path: Path, photos: Path, runtime: ColourRuntime
) -> None:
    for number in range(PHOTOS):
        make_photo(photos / f"{number}.png", (number + 1, 255 - number, 9))
    chance = random.Random(0)
    stored: set[str] = set()
    for _ in range(KILLS):
        batches = chance.randint(1, 4)
        index_and_be_killed(tmp_path / "library", photos, batches, after_s=chance.uniform(0, 0.02))

        before, stored = stored, stored_photos(tmp_path / "library")
        assert stored >= before
        assert len(stored) >= len(before) + (batches - 1) * BATCH  # the last batch at most is lost
        if stored:
            with Library.open(tmp_path / "library") as library:
                assert len(library.vectors()) == len(stored)

    with Library.open(tmp_path / "library") as library:
        report = index_folders(library, runtime, [photos])

        assert (report.unchanged, report.encoded) == (len(stored), PHOTOS - len(stored))
        assert runtime.pictures_encoded == PHOTOS - len(stored)
        for id_ in library.vectors().ids().tolist():
            [candidate] = library.candidates([id_])
            expected, _ = ColourRuntime().encode_pictures([open_picture(candidate.paths[0])])
            assert np.array_equal(candidate.embedding, expected[0])

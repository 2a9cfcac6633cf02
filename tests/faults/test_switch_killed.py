"""Kill a switch to a different model halfway: photos can still be found, and the next run resumes the switch."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.conftest import Finished, Pixsearch, Start
from tests.photos import make_photo

PHOTOS = 150
QUERY = ("query", "red", "--json", "-k", "1000", "--duplicates", "show", "--no-rerank")


def encoded_by(library: Path) -> dict[str, int]:
    """Return the number of contents encoded by each model, keyed by its name and the start of its fingerprint."""
    with closing(sqlite3.connect(library / "library.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counts = "SELECT name || ' ' || substr(fingerprint, 1, 8), count(content_id) FROM models"
        return dict(connection.execute(f"{counts} LEFT JOIN features ON model_id = models.id GROUP BY models.id"))


@pytest.fixture
def library(tmp_path: Path, photos: Path, pixsearch: Pixsearch) -> Path:
    """Return a library of many photos, indexed with the built-in model."""
    for number in range(PHOTOS):
        make_photo(photos / f"{number}.png", (number + 1, 9, 9))
    assert pixsearch("index", photos).returncode == 0
    return tmp_path / "library"


def kill_half_way(start: Start, log: Path, *arguments: str, **variables: str) -> None:
    """Start a switch, and kill it once a third of the photos are encoded."""
    pace = {"COLOURS_LOG": str(log), "COLOURS_PACE_S": "0.02"}
    with start("index", "--switch-model", *arguments, **pace, **variables) as process:
        while not log.exists() or len(log.read_text().splitlines()) < PHOTOS // 3:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)


def hits(finished: Finished) -> int:
    assert finished.returncode == 0, finished.stderr
    return len(finished.stdout.splitlines())


def test_a_switch_that_is_killed_after_an_upgrade_goes_on_and_what_is_encoded_is_found(
    library: Path, tmp_path: Path, start: Start, pixsearch: Pixsearch
) -> None:
    new = {"COLOURS_VERSION": "2"}
    refused = pixsearch(*QUERY, **new)
    kill_half_way(start, tmp_path / "log", **new)

    old, read = encoded_by(library).values()
    found = pixsearch(*QUERY, **new)
    status = json.loads(pixsearch("status", "--json", **new).stdout)
    again = pixsearch("index", **new)

    assert refused.returncode == 1
    assert f"pixsearch index --switch-model ({PHOTOS} photos, " in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert old == PHOTOS
    assert 0 < read == hits(found) < PHOTOS
    assert f"{PHOTOS - read} photos are not yet encoded with the model colours" in found.stderr
    assert status["switch"]["to_encode"] == PHOTOS - read
    assert again.stdout == f"{PHOTOS} photos: {PHOTOS - read} encoded, {read} unchanged, 0 failed\n"
    assert list(encoded_by(library).values()) == [PHOTOS]
    assert hits(pixsearch(*QUERY, **new)) == PHOTOS


def test_a_switch_that_is_killed_leaves_the_search_by_a_model_that_is_at_hand_as_it_was(
    library: Path, tmp_path: Path, start: Start, pixsearch: Pixsearch
) -> None:
    kill_half_way(start, tmp_path / "log", "--model", "mine")

    old, read = encoded_by(library).values()
    found = pixsearch(*QUERY)
    again = pixsearch("index")

    assert (old, hits(found), found.stderr) == (PHOTOS, PHOTOS, "")
    assert 0 < read < PHOTOS
    assert again.stdout == f"{PHOTOS} photos: {PHOTOS - read} encoded, {read} unchanged, 0 failed\n"
    assert [name.split()[0] for name in encoded_by(library)] == ["mine"]
    assert hits(pixsearch(*QUERY)) == PHOTOS

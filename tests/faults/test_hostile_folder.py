"""A folder of hundreds of hostile files: the run ends, accounts for each one, and good photos are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.conftest import Pixsearch
from tests.faults.test_killed import stored
from tests.hostile import make_hostile_folder


@pytest.mark.slow
def test_of_hundreds_of_hostile_files_each_is_a_photo_or_listed_and_the_good_ones_are_found(
    tmp_path: Path, pixsearch: Pixsearch
) -> None:
    made = make_hostile_folder(tmp_path / "hostile")
    files = {*made.good, *made.bad, *made.either}

    run = pixsearch("index", made.folder, "--json")

    assert len(files) >= 300
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    photos = set(map(Path, stored(tmp_path / "library")))
    status = json.loads(pixsearch("status", "--json").stdout)
    failures = {Path(file["path"]): file["reason"] for file in status["failed_files"]}
    assert photos.isdisjoint(failures)
    assert photos | failures.keys() == files
    assert [path for path in made.good if path not in photos] == []
    assert [path for path in made.bad if path not in failures] == []
    assert all(failures.values())
    for path in [path for path in made.good if path.parent.name in ("named", "exif")][::5]:
        answer = pixsearch("query", "--image", path, "--json", "--top-k", "3")
        hits = [json.loads(line) for line in answer.stdout.splitlines()]
        # A near-duplicate with more pixels may represent it.
        assert any(str(path) in (hit["path"], *hit["similar"]) for hit in hits), (path, answer.stderr)
    assert pixsearch("verify", "--deep").returncode == 0
    again = json.loads(pixsearch("index", "--json").stdout)
    assert (again["encoded"], again["unchanged"], again["failed"]) == (0, len(photos), len(failures))

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_status_says_what_the_library_holds(run: Run, indexed: Path, photos: Path) -> None:
    lines = run("status").stdout.splitlines()

    assert lines[0].startswith(f"library   {indexed} (")
    assert lines[1:] == [
        "model     colours (c0c0c0c0)",
        "photos    4 (3 different pictures)",
        "failures  0",
        f"folder    {photos}: 4 photos",
    ]


def test_a_folder_that_is_not_there_is_offline(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "elsewhere")

    assert run("status").stdout.splitlines()[-1] == f"folder    {photos}: 4 photos, offline"


def test_json_is_one_object(run: Run, indexed: Path, photos: Path) -> None:
    found = json.loads(run("status", "--json").stdout)

    assert found.pop("bytes") == sum(file.stat().st_size for file in indexed.iterdir())
    assert found == {
        "library": str(indexed),
        "model": "colours",
        "fingerprint": "c0" * 32,
        "roots": [{"path": str(photos), "online": True, "photos": 4}],
        "photos": 4,
        "contents": 3,
        "failures": 0,
    }


def test_no_library_yet_says_how_to_make_one(run: Run, library: Path) -> None:
    outcome = run("status", "--json")

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "Make one with: pixsearch index" in outcome.stderr

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image

from tests.cli.conftest import Run


def test_status_says_what_the_library_holds(run: Run, indexed: Path, photos: Path) -> None:
    lines = run("status").stdout.splitlines()

    assert re.fullmatch(rf"library   {indexed} \(\d+ kB: database \d+ kB, vectors \d+ kB\)", lines[0])
    assert re.fullmatch(r"last run  \d{4}-\d\d-\d\d \d\d:\d\d, 3 encoded, 0 failed", lines[3])
    assert [*lines[1:3], *lines[4:]] == [
        "model     colours (c0c0c0c0)",
        "photos    4 (3 different pictures)",
        "failures  0",
        f"folder    {photos}: 4 photos",
    ]


def test_status_names_what_failed_and_what_is_cut_short_and_how_a_folder_is_scanned(
    run: Run, indexed: Path, photos: Path
) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(photos / "cut.png")
    (photos / "cut.png").write_bytes((photos / "cut.png").read_bytes()[:700_000])
    (photos / "empty.png").touch()
    run("index", photos, "--hidden", "--exclude", "*.gif")

    lines = run("status").stdout.splitlines()

    assert lines[2] == "photos    5 (4 different pictures, 1 truncated)"
    assert lines[4:] == [
        "failures  1",
        f"folder    {photos}: 5 photos, with hidden files, without *.gif",
        f"failed    {photos / 'empty.png'}: the file is empty",
        f"note      {photos / 'cut.png'}: the file is truncated; part of the picture is missing",
    ]


def test_a_folder_that_is_not_there_is_offline(run: Run, indexed: Path, photos: Path, tmp_path: Path) -> None:
    photos.rename(tmp_path / "elsewhere")

    assert run("status").stdout.splitlines()[-1] == f"folder    {photos}: 4 photos, offline"


def test_json_is_one_object(run: Run, indexed: Path, photos: Path) -> None:
    found = json.loads(run("status", "--json").stdout)

    sizes = {file.name.partition("-")[0]: file.stat().st_size for file in indexed.iterdir()}
    assert found.pop("vectors") == "file"
    assert found.pop("bytes") == sum(sizes.values())
    assert found.pop("database_bytes") == sizes["library.db"]
    assert found.pop("vectors_bytes") == sizes["vectors"]
    run_record = found.pop("last_run")
    assert datetime.fromisoformat(run_record["started"]) <= datetime.fromisoformat(run_record["finished"])
    assert (run_record["encoded"], run_record["failed"]) == (3, 0)
    assert found == {
        "library": str(indexed),
        "model": "colours",
        "fingerprint": "c0" * 32,
        "switch": None,
        "roots": [
            {
                "path": str(photos),
                "online": True,
                "photos": 4,
                "not_read": {},
                "unread": 0,
                "hidden": False,
                "follow_links": False,
                "exclude": [],
                "ocr": False,
            }
        ],
        "photos": 4,
        "contents": 3,
        "cut_short": 0,
        "texts": 0,
        "text_files": [],
        "failures": 0,
        "failed_files": [],
        "notes": [],
    }


def test_no_library_yet_says_how_to_make_one(run: Run, library: Path) -> None:
    outcome = run("status", "--json")

    assert (outcome.exit_code, outcome.stdout) == (1, "")
    assert "Create one with: pixsearch index" in outcome.stderr

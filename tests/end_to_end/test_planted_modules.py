"""A folder of photos may contain anything, including Python modules, and people run commands in it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.end_to_end.conftest import COMMAND
from tests.photos import make_photo

PLANTED = ("logging.py", "threading.py", "PIL/__init__.py", "numpy/__init__.py", "pixsearch_indexer/__init__.py")


def test_no_module_that_lies_among_the_photos_is_run(tmp_path: Path, tiny_checkpoint: Path) -> None:
    photos, run_by = tmp_path / "photos", tmp_path / "run by"
    make_photo(photos / "red.png", "red")
    for name in PLANTED:
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_text(f"open({str(run_by)!r}, 'a').write({name!r})\n")

    finished = subprocess.run(
        [COMMAND, "index", ".", "--model", tiny_checkpoint, "--library", tmp_path / "library"],
        cwd=photos,
        capture_output=True,
        text=True,
        check=False,
    )

    assert not run_by.exists(), run_by.read_text()
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "1 photo: 1 encoded, 0 unchanged, 0 failed\nnot read: 5 .py\n"

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_a_sound_library_says_so(run: Run, indexed: Path) -> None:
    outcome = run("verify", "--deep")

    assert (outcome.exit_code, outcome.stdout) == (0, "4 photos: no problem\n")


def test_problems_are_lines_and_exit_code_1_until_they_are_repaired(run: Run, indexed: Path) -> None:
    [vectors] = indexed.glob("vectors-*")
    vectors.write_bytes(b"rubbish")

    bad, mended, good = run("verify"), run("repair"), run("verify")

    assert bad.exit_code == 1
    assert bad.stdout == f"{vectors} is not the file that was saved\n4 photos: 1 problems\n"
    assert mended.exit_code == 0
    assert mended.stdout == f"{vectors} is not the file that was saved\n1 problems found, no problem left\n"
    assert (good.exit_code, good.stdout) == (0, "4 photos: no problem\n")


def test_json_is_one_object(run: Run, indexed: Path, photos: Path) -> None:
    (photos / "pink.png").unlink()

    assert json.loads(run("verify", "--deep", "--json").stdout) == {
        "photos": 4,
        "problems": [],
        "notes": [],
        "stale": 1,
    }
    assert json.loads(run("repair", "--json").stdout) == {"problems": [], "left": [], "to_index": 0}

"""A user without a home folder or a passwd entry, as with `docker run --user 1234`."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.conftest import COMMAND
from tests.photos import make_photo

AS_NOBODY_KNOWN = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]


def may_unshare() -> bool:
    """Return whether this machine can run a command as a user without a passwd entry."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*AS_NOBODY_KNOWN, "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not may_unshare(), reason="this machine has no user namespaces"),
]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AS_NOBODY_KNOWN, COMMAND, *arguments],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )


def test_all_that_is_given_its_folders_works(tmp_path: Path) -> None:
    make_photo(tmp_path / "photos" / "red.png", "red")
    library = tmp_path / "library"

    indexed = run("index", tmp_path / "photos", "--library", library)
    found = run("query", "something red", "--library", library, "--paths")

    assert indexed.returncode == 0, indexed.stderr
    assert found.stdout.splitlines() == [str(tmp_path / "photos" / "red.png")], found.stderr


@pytest.mark.parametrize("command", [("status",), ("config",), ("index", ".", "--library", "x", "--model", "mine")])
def test_what_needs_a_home_says_so(command: tuple[str, ...]) -> None:
    finished = run(*command)

    assert finished.returncode in (1, 2)
    assert "no home directory" in finished.stderr
    assert "report it" not in finished.stderr

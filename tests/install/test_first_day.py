"""The README's first commands on a machine with only Python, make and photos, and the guide's last ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.photos import make_photo

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_photo(tmp_path / "Pictures" / "pink.png", "pink")
    return tmp_path


def in_shell(line: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in the shell of a user without the tests' virtual environment, but with the same Python."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(("PIXSEARCH", "PYTHON", "XDG_"))}
    return subprocess.run(
        line,
        shell=True,
        cwd=folder,
        env=theirs | {"HOME": str(home), "PIP_CACHE_DIR": str(Path("~/.cache/pip").expanduser())},
        check=False,
        capture_output=True,
        text=True,
        timeout=1200,
    )


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}


def test_the_first_lines_of_the_readme_work_in_their_order_and_the_guide_s_last_ones_leave_no_trace(
    home: Path,
) -> None:
    if in_shell("python3 -m pip download --no-deps openvino-telemetry", home, home).returncode != 0:
        pytest.skip("no package index is reachable")
    before = files_below(home)  # pip's files are not ours
    clone = home / "pixsearch"
    for name in subprocess.check_output(["git", "ls-files", "-z"], cwd=PROJECT, text=True).split("\0")[:-1]:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, clone / name)
    install = (clone / "README.md").read_text().partition("## Install")[2].partition("\n## ")[0]
    lines = re.findall("^    (.*)$", install, flags=re.MULTILINE)
    removal = re.findall(r"^    (rm -rf .*)$", (clone / "docs/guide.md").read_text(), flags=re.MULTILINE)

    finished = [in_shell(line, clone, home) for line in lines]
    kept = files_below(home) - before
    for line in removal:
        in_shell(line, home, home)

    assert lines[0] == "make demo"
    assert [one.returncode for one in finished] == [0] * len(lines), [one.stderr for one in finished]
    assert "pink.png" in finished[-1].stdout
    assert Path(".local/share/pixsearch/library/library.db") in kept
    assert files_below(home) == before

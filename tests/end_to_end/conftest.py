from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tiny_checkpoint import make_tiny_checkpoint

Finished = subprocess.CompletedProcess[str]
Pixsearch = Callable[..., Finished]

COMMAND = Path(sys.executable).with_name("pixsearch")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny-checkpoint"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's home folder without any pixsearch files."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def pixsearch(home: Path) -> Pixsearch:
    """A function that runs the installed command as the user of this home folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIXSEARCH", "XDG_"))}
    environment["HOME"] = str(home)

    def run(*arguments: str | Path, stdout: int = subprocess.PIPE) -> Finished:
        return subprocess.run(
            [COMMAND, *arguments],
            env=environment,
            cwd=home,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    return run

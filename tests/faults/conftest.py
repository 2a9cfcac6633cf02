from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pixsearch import Library, Query, SearchEngine, Words
from tests.colour_runtime import ColourRuntime

PROJECT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(PROJECT / "tests" / "faults" / "pixsearch_with_colours.py")]

Finished = subprocess.CompletedProcess[str]
Pixsearch = Callable[..., Finished]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment for every command in the test, with the library's location and the packages."""
    paths = [str(PROJECT), *(str(PROJECT / folder) for folder in ("cli", "indexer", "trainer"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PIXSEARCH_LIBRARY": str(tmp_path / "library")}


@pytest.fixture
def start(environment: dict[str, str]) -> Start:
    """A function that starts the command without waiting for it. Keyword arguments are environment variables."""

    def start_command(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env=environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start_command


@pytest.fixture
def pixsearch(start: Start) -> Pixsearch:
    """A function that runs the command to its end."""

    def run(*arguments: str | Path, **variables: str) -> Finished:
        with start(*arguments, **variables) as process:
            stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    return run


def found(library: Path) -> list[str]:
    """Return the photos that a query finds.

    The query runs in this process, because starting a command takes most of a second, and there are hundreds.
    """
    with Library.open(library) as opened:
        hits = SearchEngine(opened, ColourRuntime()).search(Query((Words("red"),)), 5)
    return [str(hit.path) for hit in hits]

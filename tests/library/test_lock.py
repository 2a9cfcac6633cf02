from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pixsearch import Library
from pixsearch.errors import LibraryBusy
from tests.database import SQLITE_ONLY

HOLD = """
import sys
from pathlib import Path
from pixsearch import Library
place = sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])
with Library.open(place).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_writer(library: Library) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the library's lock."""
    command = [sys.executable, "-c", HOLD, str(library.place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_writer_is_told_which_process_writes(library: Library) -> None:
    with (
        another_writer(library) as process,
        pytest.raises(LibraryBusy, match=f"process {process.pid}"),
        library.writing(),
    ):
        pass


def test_readers_go_on_while_somebody_writes(library: Library) -> None:
    with another_writer(library):
        assert library.status().photos == 0


def test_a_writer_that_was_killed_locks_nobody_out(library: Library) -> None:
    with another_writer(library) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()

        with library.writing():
            pass


@SQLITE_ONLY
def test_the_pid_of_the_last_writer_is_not_mixed_up_with_that_of_this_one(library: Library) -> None:
    (library.folder / "indexing.lock").write_text("1234567890123")

    with (
        library.writing(),
        pytest.raises(LibraryBusy, match=rf"process {os.getpid()}\."),
        library.writing(),
    ):
        pass


def test_the_lock_is_free_after_an_error(library: Library) -> None:
    with pytest.raises(ZeroDivisionError), library.writing():
        raise ZeroDivisionError

    with library.writing():
        pass

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixsearch import Library
from pixsearch.errors import LibraryBusy, LibraryError
from tests.database import SQLITE_ONLY
from tests.unsuitable_files import UNSUITABLE, in_time

HOLD = """
import sys
from pathlib import Path
from pixsearch import Library
location = sys.argv[1] if "://" in sys.argv[1] else Path(sys.argv[1])
with Library.open(location).writing():
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_writer(library: Library) -> Iterator[subprocess.Popen[str]]:
    """Start a process that holds the library's lock."""
    command = [sys.executable, "-c", HOLD, str(library.location)]
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


@SQLITE_ONLY
def test_a_lock_that_is_a_link_is_neither_followed_nor_cut(library: Library, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    lock = library.folder / "indexing.lock"
    lock.unlink()
    lock.symlink_to(precious)

    with pytest.raises(LibraryError, match=r"indexing\.lock is not a pixsearch lock file"), library.writing():
        pass
    assert precious.read_text() == "precious"


@SQLITE_ONLY
def test_a_link_to_nothing_is_no_lock_and_makes_nothing(library: Library, tmp_path: Path) -> None:
    lock = library.folder / "indexing.lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "new")

    with pytest.raises(LibraryError, match="is not a pixsearch lock file"), library.writing():
        pass
    assert not (tmp_path / "new").exists()


@SQLITE_ONLY
@pytest.mark.parametrize("kind", ["pipe", "socket", "endless"])
def test_what_is_no_file_is_no_lock_and_is_not_waited_for(library: Library, kind: str) -> None:
    UNSUITABLE[kind](library.folder / "indexing.lock")

    with in_time(), pytest.raises(LibraryError, match="is not a pixsearch lock file"), library.writing():
        pass


@SQLITE_ONLY
def test_a_file_of_somebody_elses_under_the_locks_name_stays_as_it_is(library: Library, tmp_path: Path) -> None:
    lock, empty = library.folder / "indexing.lock", tmp_path / "empty"
    lock.write_text("my list of locks")

    with pytest.raises(LibraryError, match="is not a pixsearch lock file"), library.writing():
        pass
    assert lock.read_text() == "my list of locks"

    lock.unlink()
    empty.touch()
    lock.hardlink_to(empty)
    with library.writing():
        assert empty.read_bytes() == b""

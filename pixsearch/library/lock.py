"""One writer at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixsearch.errors import LibraryBusy, LibraryError

LOCK_NAME = "indexing.lock"


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the library's lock. Raises LibraryBusy at once if somebody else does, LibraryError if it cannot be written.

    The kernel lets go of the lock when its process ends, however it ends; the pid inside is only for the message, and
    the file itself stays. Not guaranteed between hosts on network drives that do not carry flock.
    """
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise LibraryError(
            f"cannot write to the library {folder}: {error.strerror}", "Choose another with --library FOLDER"
        ) from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.pread(descriptor, 32, 0).decode(errors="replace")
        holder = f"process {pid}" if pid else "another process"
        raise LibraryBusy(
            f"the library {folder} is being written by {holder}", "Wait until it is done, or stop it"
        ) from error
    except OSError as error:
        raise LibraryError(
            f"the library {folder} cannot be locked: {error.strerror}", "Keep it on a drive that knows file locks"
        ) from error
    with suppress(OSError):  # a full disk: the lock is held all the same
        os.ftruncate(descriptor, 0)  # the pid of the last one, which may be longer
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)

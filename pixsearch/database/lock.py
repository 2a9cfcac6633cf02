"""The lock file of a library, which allows only one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixsearch.database.permissions import mode_of_files
from pixsearch.errors import LibraryBusy, LibraryError

LOCK_NAME = "indexing.lock"
_LONGEST_PID = 32


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the library's lock for the duration of the block.

    The kernel always releases the lock when the process ends. The lock file remains, and the pid in it is used only for
    messages. Links are not followed, and a file that is not a lock file is never overwritten. Locks do not work across
    hosts on network drives that do not support flock.

    Raises LibraryBusy immediately if another process holds the lock, or LibraryError if the library is not writable.
    """
    file = folder / LOCK_NAME
    how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        descriptor = os.open(file, how, mode_of_files(folder))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):  # a link, a socket, a folder
            raise _no_lock(file) from error
        raise LibraryError(
            f"cannot write to the library {folder}: {error.strerror}",
            "Choose a different library with --library FOLDER",
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _no_lock(file)
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    pid = os.pread(descriptor, _LONGEST_PID + 1, 0)
    if len(pid) > _LONGEST_PID or pid.strip(b"0123456789"):
        raise _no_lock(folder / LOCK_NAME)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = f"process {pid.decode()}" if pid else "another process"
        raise LibraryBusy(
            f"the library {folder} is locked by {holder}", "Wait for that process to finish, or stop it"
        ) from error
    except OSError as error:
        raise LibraryError(
            f"the library {folder} cannot be locked: {error.strerror}",
            "Move the library to a drive that supports file locks",
        ) from error
    if os.fstat(descriptor).st_nlink > 1:  # the file has a second name and may belong to another program
        return
    with suppress(OSError):  # even if the disk is full, the lock is held
        os.ftruncate(descriptor, 0)  # the old pid may be longer
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)


def _no_lock(file: Path) -> LibraryError:
    return LibraryError(f"{file} is not a pixsearch lock file", "Move the file elsewhere, then try again")

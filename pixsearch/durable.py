"""The one way in which pixsearch writes files, outside SQLite."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_RANDOM = re.compile(r"\.[0-9a-f]{16}\.tmp")
_LONGEST_NAME_BYTES = 255


def write_durably(path: Path, data: bytes | memoryview, mode: int | None = None) -> None:
    """Put `data` in place of `path`: afterwards the file is the old one or the new one, never a mixture.

    Temporary file beside it, write, check the count, fsync, rename, fsync of the folder; a link at `path` is replaced
    and not followed. Raises OSError that names `path`. The old file is untouched then (a full disk, a read-only
    folder), unless only the fsync of the folder failed: the new one is in place, and a power cut may undo that. Not
    guaranteed where the drive lies about fsync. Of two writers of one path the later one wins.

    Args:
        mode: the permissions. Without it those of the old file, or else what the user's umask leaves.
    """
    with named_in_errors(path), new_file(path, mode) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Write a file bit by bit, as `write_durably` does at once; an exception in the block leaves the old file."""
    with temporary_beside(path, mode) as file:
        yield file
        length = file.tell()
        file.flush()
        os.fsync(file.fileno())
        if os.fstat(file.fileno()).st_size != length:
            raise OSError(errno.EIO, "it is shorter than what was written to it")
        Path(file.name).replace(path)
    _sync_folder(path.parent)


@contextmanager
def temporary_beside(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Make a new file with a random name in the folder of `path`; it is deleted after the block.

    The block may rename it (`file.name`) to keep it. Files that killed processes left for this `path` are deleted, too.
    """
    _delete_left_behind(path)
    temporary, descriptor = _create_beside(path)
    try:
        with open(temporary, "wb", opener=lambda *_: descriptor) as file:
            with suppress(OSError):  # a drive without permissions
                if (mode := _mode_of(path) if mode is None else mode) is not None:
                    os.fchmod(descriptor, mode)
            yield file
    finally:
        temporary.unlink(missing_ok=True)


def rename_durably(path: Path, target: Path) -> None:
    """Put a complete file or folder in place of `target`, on the same drive: fsync, rename, fsync of its new folder.

    Raises OSError, as `write_durably` does.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.replace(target)
    _sync_folder(target.parent)


def write_output(path: Path, data: bytes) -> None:
    """Write what a person asked to have in a file of that name, as `write_durably` does but where the name leads.

    The target of a link is replaced and not the link; what is no regular file (a pipe, a device) is written into, and
    so is whatever /dev/stdout and its like lead to. Raises OSError that names `path`.
    """
    with named_in_errors(path):
        if leads_to_stdout(path):
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        elif is_stream(path):
            with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC), "wb") as stream:  # noqa: PTH123
                stream.write(data)
        else:
            write_durably(Path(os.path.realpath(path)), data)


def leads_to_stdout(path: Path) -> bool:
    """Return whether what is written to a path comes out of this process's stdout."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))  # noqa: PTH116 - as the descriptor's
    except OSError:
        return False


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, which is made where it is missing. Raises OSError where it is no regular file."""
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with named_in_errors(path), open(os.open(path, how, 0o666), "ab") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        file.write(f"{line}\n".encode())


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Let an OSError name the file that was to be written, in place of a temporary one or of none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _create_beside(path: Path) -> tuple[Path, int]:
    """Create an empty file that this process has locked, where the drive has locks. Returns its path and descriptor."""
    while True:
        temporary = path.with_name(f"{_stem(path)}.{os.urandom(8).hex()}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody who has seen it unlocked deletes it
            os.close(descriptor)
            continue
        except OSError:
            return temporary, descriptor
        if os.path.lexists(temporary):  # as above, and has done so
            return temporary, descriptor
        os.close(descriptor)


def is_stream(path: Path) -> bool:
    """Return whether a path names a descriptor, or leads to what is there and is no regular file. Raises OSError."""
    folder = os.path.realpath(path.parent)
    if folder in ("/dev", "/dev/fd") or folder.startswith("/proc/"):
        return True
    with suppress(FileNotFoundError):
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        return not stat.S_ISREG(found.st_mode)
    return False


def _mode_of(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        found = path.lstat()
        return stat.S_IMODE(found.st_mode) & 0o777 if stat.S_ISREG(found.st_mode) else None
    return None


def _stem(path: Path) -> str:
    """The name of a path, as far as a temporary file's name can begin with it."""
    most = _LONGEST_NAME_BYTES - len(".0123456789abcdef.tmp")
    name = os.fsencode(path.name)
    return path.name if len(name) <= most else name[:most].decode(errors="ignore")


def _delete_left_behind(path: Path) -> None:
    """Delete the temporary files for `path` that no process has locked: their writers were killed."""
    stem, names = _stem(path), list[str]()
    with suppress(OSError), os.scandir(path.parent) as entries:  # a folder that may be written to, but not listed
        names = [entry.name for entry in entries if entry.name.startswith(stem)]
    for name in names:
        if not _RANDOM.fullmatch(name, len(stem)):
            continue
        left = path.with_name(name)
        with suppress(OSError):
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
            finally:
                os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # what drives say that cannot sync a folder
            raise OSError(error.errno, f"written, but a power cut may undo it: {error.strerror}") from error
    finally:
        os.close(descriptor)

"""Writing files durably, as pixsearch does everywhere except in SQLite."""

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
    """Replace the file at `path`: afterwards it is the old one or the new one, never a mixture.

    The data are written to a temporary file beside it, which is checked, synced and renamed; then the folder is synced.
    A link at `path` is replaced and not followed. If two processes write one path, the later one wins. All this depends
    on a drive that does not lie about fsync.

    Raises OSError that names `path`, for example for a full disk or a read-only folder. The old file is unchanged then,
    unless only the sync of the folder failed: the new file is in place, but a power cut may undo that.

    Args:
        path: the file to write.
        data: its content.
        mode: its permissions; by default those of the old file, or else those that the user's umask allows.
    """
    with named_in_errors(path), new_file(path, mode) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a file to be written in parts, as `write_durably` writes it at once. An exception keeps the old file."""
    with temporary_beside(path, mode) as file:
        yield file
        length = file.tell()
        file.flush()
        os.fsync(file.fileno())
        if os.fstat(file.fileno()).st_size != length:
            raise OSError(errno.EIO, "fewer bytes were written than expected")
        Path(file.name).replace(path)
    _sync_folder(path.parent)


@contextmanager
def temporary_beside(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Create a file with a random name in the folder of `path`, and delete it after the block.

    The block may rename it (`file.name`) to keep it. Files that killed processes have left for `path` are deleted too.
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
    """Write a file that the user has named, like `write_durably`, but follow links.

    The target of a link is replaced, not the link. Data for a file that is not regular (a pipe, a device), or for the
    target of /dev/stdout and the like, are written into it. Raises OSError that names `path`.
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
    """Return whether a path leads to this process's stdout."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))  # noqa: PTH116 - to match os.fstat
    except OSError:
        return False


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file, and create it if it is missing. Raises OSError if it is not a regular file."""
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with named_in_errors(path), open(os.open(path, how, 0o666), "ab") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        file.write(f"{line}\n".encode())


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Let an OSError in the block name this file, instead of a temporary one or none."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _create_beside(path: Path) -> tuple[Path, int]:
    """Create an empty file and lock it, if the drive supports locks. Return its path and descriptor."""
    while True:
        temporary = path.with_name(f"{_stem(path)}.{os.urandom(8).hex()}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process took it for an abandoned file and is deleting it
            os.close(descriptor)
            continue
        except OSError:
            return temporary, descriptor
        if os.path.lexists(temporary):  # else another process has deleted it, as above
            return temporary, descriptor
        os.close(descriptor)


def is_stream(path: Path) -> bool:
    """Return whether a path names a descriptor, or an existing file that is not regular. Raises OSError."""
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
    """Return the name of a path, cut so that a temporary file's name can begin with it."""
    most = _LONGEST_NAME_BYTES - len(".0123456789abcdef.tmp")
    name = os.fsencode(path.name)
    return path.name if len(name) <= most else name[:most].decode(errors="ignore")


def _delete_left_behind(path: Path) -> None:
    """Delete the temporary files for `path` that no process has locked, since their writers were killed."""
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
    """Sync a folder, so that a rename in it is durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the drive cannot sync folders
            raise OSError(error.errno, f"written, but a power cut may undo it: {error.strerror}") from error
    finally:
        os.close(descriptor)

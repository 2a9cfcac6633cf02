"""Durable file writes, used everywhere except in SQLite databases."""

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
    """Replace the file at `path` atomically: the result is either the old file or the new one, never a mixture.

    The data is written to a temporary file in the same folder. This file is checked, synced and renamed, then the
    folder is synced. A symbolic link at `path` is replaced, not followed. If two processes write to the same path, the
    last one wins. Durability requires a drive that honours fsync.

    Raises OSError naming `path`, for example if the disk is full or the folder is read-only. The old file is then
    unchanged, unless only syncing the folder failed. In that case, the new file is in place but may be lost in a power
    failure.

    Args:
        path: the file to write.
        data: the content of the file.
        mode: the permissions of the file. The default is those of the old file, or those allowed by the umask.
    """
    with named_in_errors(path), new_file(path, mode) as file:
        file.write(data)


@contextmanager
def new_file(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing in parts, with the guarantees of `write_durably`.

    If the block raises an exception, the old file is kept.
    """
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
    """Create a randomly named file in the same folder as `path`, and delete it after the block.

    The block can rename the file (`file.name`) to keep it. Files left behind for `path` by killed processes are also
    deleted.
    """
    _delete_left_behind(path)
    temporary, descriptor = _create_beside(path)
    try:
        with open(temporary, "wb", opener=lambda *_: descriptor) as file:
            with suppress(OSError):  # the drive does not support permissions
                if (mode := _mode_of(path) if mode is None else mode) is not None:
                    os.fchmod(descriptor, mode)
            yield file
    finally:
        temporary.unlink(missing_ok=True)


def rename_durably(path: Path, target: Path) -> None:
    """Replace `target` durably with a complete file or folder on the same drive.

    The file or folder is synced and renamed, then its new parent folder is synced. Raises the same errors as
    `write_durably`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.replace(target)
    _sync_folder(target.parent)


def write_output(path: Path, data: bytes) -> None:
    """Write a file specified by the user, like `write_durably` but following links.

    The target of a link is replaced, not the link itself. If the file is not regular (a pipe or device) or is the
    target of a path such as /dev/stdout, the data is written into it instead. Raises OSError naming `path`.
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
    """Return whether a path refers to this process's stdout."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(1))  # noqa: PTH116 - to match os.fstat
    except OSError:
        return False


def append_line(path: Path, line: str) -> None:
    """Append a line to a text file, creating the file if necessary. Raises OSError if it is not a regular file."""
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with named_in_errors(path), open(os.open(path, how, 0o666), "ab") as file:  # noqa: PTH123 - a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        file.write(f"{line}\n".encode())


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Make any OSError raised in the block refer to this file instead of a temporary file or no file."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _create_beside(path: Path) -> tuple[Path, int]:
    """Create an empty file, lock it if the drive supports locks, and return its path and descriptor."""
    while True:
        temporary = path.with_name(f"{_stem(path)}.{os.urandom(8).hex()}.tmp")
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # another process believes the file is abandoned and is deleting it
            os.close(descriptor)
            continue
        except OSError:
            return temporary, descriptor
        if os.path.lexists(temporary):  # otherwise another process has deleted it, see above
            return temporary, descriptor
        os.close(descriptor)


def is_stream(path: Path) -> bool:
    """Return whether a path is a descriptor or an existing file that is not regular. Raises OSError."""
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
    """Return the file name, truncated so that a temporary file name can start with it."""
    most = _LONGEST_NAME_BYTES - len(".0123456789abcdef.tmp")
    name = os.fsencode(path.name)
    return path.name if len(name) <= most else name[:most].decode(errors="ignore")


def _delete_left_behind(path: Path) -> None:
    """Delete the unlocked temporary files for `path`. They were left behind by killed processes."""
    stem, names = _stem(path), list[str]()
    with suppress(OSError), os.scandir(path.parent) as entries:  # the folder may be writable but not listable
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
    """Sync a folder to make renames in it durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: the drive cannot sync folders
            raise OSError(error.errno, f"written, but could be lost in a power failure: {error.strerror}") from error
    finally:
        os.close(descriptor)

"""Read files safely, even if a path refers to something unexpected.

A path may refer to a pipe without a writer, an endless device or a file of several terabytes. Files are therefore
opened without blocking, checked after opening, and read only up to a size limit.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:  # importing zipfile would add 3 ms to every command
    from zipfile import ZipFile

Name: TypeAlias = "str | bytes | os.PathLike[str]"

TEXT_LIMIT_BYTES = 64 << 20
"""The size limit for handwritten text files and word lists."""
DATA_LIMIT_BYTES = 2 << 30
"""The size limit for data files that are read as a whole. Visual Genome's regions, the largest known, take 0.7 GB."""
MODEL_LIMIT_BYTES = 16 << 30
"""The size limit for model files from other projects. The largest OpenCLIP model takes 10 GB."""

_PART_BYTES = 1 << 16
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class UnsuitableFile(OSError):
    """A file is not regular or exceeds a size limit; `strerror` contains the reason."""


def open_regular(path: Name, limit_bytes: int | None = None) -> BufferedReader:
    """Open a regular file for reading. Raises UnsuitableFile if it is not regular or is too large, or OSError.

    This never blocks. Pipes and devices are not opened, unless one replaces the file at that very moment.
    """
    return _open(os.fspath(path), limit_bytes, path)


def read_regular(path: Name, limit_bytes: int) -> bytes:
    """Read a regular file of up to `limit_bytes`. Raises the same errors as `open_regular`."""
    with open_regular(path, limit_bytes) as file:
        data = file.read(os.fstat(file.fileno()).st_size)
        while len(data) <= limit_bytes and (more := file.read(_PART_BYTES)):  # the file is growing, or in /proc
            data += more
    require_size(len(data), limit_bytes, path)
    return data


def read_stream(stream: BinaryIO, limit_bytes: int, name: Name) -> bytes:
    """Read a stream to the end. Raises UnsuitableFile if it contains more than `limit_bytes`, or OSError."""
    parts, size_bytes = list[bytes](), 0
    while size_bytes <= limit_bytes and (part := stream.read(_PART_BYTES)):
        parts.append(part)
        size_bytes += len(part)
    require_size(size_bytes, limit_bytes, name)
    return b"".join(parts)


def read_argument(name: str, limit_bytes: int) -> bytes:
    """Read a file from a command-line argument: a regular file, or a stream from the shell such as `<(command)`.

    Raises the same errors as `read_regular`.
    """
    if not is_opened_by_shell(name):
        return read_regular(name, limit_bytes)
    with open(name, "rb") as stream:  # noqa: PTH123 - its descriptor is already open
        return read_stream(stream, limit_bytes, name)


def is_opened_by_shell(name: str) -> bool:
    """Return whether a path is a file descriptor of this process, such as /dev/fd/63. Opening it does not block."""
    return os.path.realpath(os.path.dirname(name)) == os.path.realpath("/dev/fd")  # noqa: PTH120 - consistent with realpath


def open_below(folder: bytes, path: bytes, limit_bytes: int | None = None) -> BufferedReader:
    """Open a regular file below a folder, like `open_regular`, without following links below the folder.

    Raises OSError if any part of the path is a link (ELOOP or ENOTDIR), or if `path` is not below `folder`.
    """
    start = folder.rstrip(b"/") + b"/"
    *folders, name = path[len(start) :].split(b"/")
    if not path.startswith(start) or {b"", b".", b".."} & {*folders, name}:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    at = os.open(start, _OPEN_FOLDER)
    try:
        for inner in folders:
            outer, at = at, os.open(inner, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(outer)
        return _open(name, limit_bytes, path, at)
    finally:
        os.close(at)


def require_regular_files(folder: str) -> None:
    """Check the files in a folder that a third-party library is about to open.

    A missing folder is ignored, because the name may refer to something else. Raises UnsuitableFile if a file is not
    regular or is too large.
    """
    if os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for some names
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    _require_regular(entry.stat(), MODEL_LIMIT_BYTES, entry.path)


def path_of(file: BufferedReader) -> str:
    """Return a path to an open file, for libraries that accept only paths.

    The path refers to this file even if a different file has taken its name. On systems without such paths (such as a
    container without /proc), this is the original path.
    """
    path = f"/dev/fd/{file.fileno()}"
    return path if os.path.exists(path) else os.fsdecode(file.name)  # noqa: PTH110 - a Path would have no other use


def read_member(archive: ZipFile, name: str, limit_bytes: int) -> bytes:
    """Read a member of a zip archive. Raises BadZipFile if it exceeds the limit, or any `ZipFile` error."""
    from zipfile import BadZipFile

    if archive.getinfo(name).file_size > limit_bytes:  # zipfile never extracts more than the stated size
        raise BadZipFile(f"the member {name} is larger than {_shown(limit_bytes)}")
    return archive.read(name)


def require_size(size_bytes: int, limit_bytes: int, path: Name) -> None:
    """Raise UnsuitableFile if a file exceeds the limit."""
    if size_bytes > limit_bytes:
        raise UnsuitableFile(errno.EFBIG, f"larger than {_shown(limit_bytes)}", path)


def _open(name: str | bytes, limit_bytes: int | None, path: Name, folder: int | None = None) -> BufferedReader:
    """Open the file `name`, relative to a folder descriptor if given. Error messages refer to it as `path`."""
    how = _OPEN if folder is None else _OPEN | os.O_NOFOLLOW
    _require_regular(os.stat(name, dir_fd=folder, follow_symlinks=folder is None), limit_bytes, path)
    descriptor = os.open(name, how, dir_fd=folder)
    try:
        _require_regular(os.fstat(descriptor), limit_bytes, path)
        return open(path, "rb", opener=lambda *_: descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _require_regular(found: os.stat_result, limit_bytes: int | None, path: Name) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    if not stat.S_ISREG(found.st_mode):
        raise UnsuitableFile(errno.EINVAL, "not a regular file", path)
    if limit_bytes is not None:
        require_size(found.st_size, limit_bytes, path)


def _shown(size_bytes: int) -> str:
    return next(
        (f"{size_bytes >> shift} {unit}" for shift, unit in ((30, "GiB"), (20, "MiB")) if size_bytes >> shift),
        f"{size_bytes >> 10} KiB",
    )

"""Reading files safely, as pixsearch does with every file that the user or a folder names.

Any name may lead to a pipe without a writer, an endless device or a file of terabytes. Here files are opened without
waiting, checked after opening, and read only up to a limit for their kind.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

if TYPE_CHECKING:  # 3 ms, which every command would pay
    from zipfile import ZipFile

Name: TypeAlias = "str | bytes | os.PathLike[str]"

TEXT_LIMIT_BYTES = 64 << 20
"""The limit for text files written by hand, and for word lists."""
DATA_LIMIT_BYTES = 2 << 30
"""The limit for data files read as a whole; the largest one published, Visual Genome's regions, has 0.7 GB."""
MODEL_LIMIT_BYTES = 16 << 30
"""The limit for files of other projects' models; the largest of OpenCLIP's has 10 GB."""

_PART_BYTES = 1 << 16
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class UnsuitableFile(OSError):
    """A file is not regular, or is larger than any of its kind should be; `strerror` says which."""


def open_regular(path: Name, limit_bytes: int | None = None) -> BufferedReader:
    """Open a regular file for reading. Raises UnsuitableFile if it is not regular or too large, or OSError.

    A pipe or a device is not even opened, unless it replaces a file at that very moment; nothing blocks.
    """
    return _open(os.fspath(path), limit_bytes, path)


def read_regular(path: Name, limit_bytes: int) -> bytes:
    """Read a regular file of at most `limit_bytes`. Raises the same errors as `open_regular`."""
    with open_regular(path, limit_bytes) as file:
        data = file.read(os.fstat(file.fileno()).st_size)
        while len(data) <= limit_bytes and (more := file.read(_PART_BYTES)):  # it is growing, or in /proc
            data += more
    require_size(len(data), limit_bytes, path)
    return data


def read_stream(stream: BinaryIO, limit_bytes: int, name: Name) -> bytes:
    """Read a stream to its end. Raises UnsuitableFile if it has more than `limit_bytes`, or OSError."""
    parts, size_bytes = list[bytes](), 0
    while size_bytes <= limit_bytes and (part := stream.read(_PART_BYTES)):
        parts.append(part)
        size_bytes += len(part)
    require_size(size_bytes, limit_bytes, name)
    return b"".join(parts)


def read_argument(name: str, limit_bytes: int) -> bytes:
    """Read the file in a command's argument: a regular file, or a stream opened by the shell, as by `<(command)`.

    Raises the errors of `read_regular`.
    """
    if not is_opened_by_shell(name):
        return read_regular(name, limit_bytes)
    with open(name, "rb") as stream:  # noqa: PTH123 - its descriptor is open already
        return read_stream(stream, limit_bytes, name)


def is_opened_by_shell(name: str) -> bool:
    """Return whether a name is that of a descriptor of this process, so that opening it does not block."""
    return os.path.realpath(os.path.dirname(name)) == os.path.realpath("/dev/fd")  # noqa: PTH120 - as realpath


def open_below(folder: bytes, path: bytes, limit_bytes: int | None = None) -> BufferedReader:
    """Open a regular file below a folder, as `open_regular` does, without following links below the folder.

    Raises OSError if a part of the path is a link (ELOOP or ENOTDIR), or if `path` is not below `folder`.
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
    """Check the files of a folder for a library that opens them by name. Raises UnsuitableFile for one it cannot read.

    A folder that does not exist is not an error: the name may be that of something else.
    """
    if os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for some names
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    _require_regular(entry.stat(), MODEL_LIMIT_BYTES, entry.path)


def path_of(file: BufferedReader) -> str:
    """Return a path to an open file, for libraries that accept only paths. It leads to this file even if its name is
    reused.

    On systems without such paths (a container without /proc) it is the name by which the file was opened.
    """
    path = f"/dev/fd/{file.fileno()}"
    return path if os.path.exists(path) else os.fsdecode(file.name)  # noqa: PTH110 - no other use of a Path


def read_member(archive: ZipFile, name: str, limit_bytes: int) -> bytes:
    """Read a member of an archive. Raises BadZipFile if it is larger than the limit, KeyError, or ZipFile's errors."""
    from zipfile import BadZipFile

    if archive.getinfo(name).file_size > limit_bytes:  # zipfile unpacks no more than that
        raise BadZipFile(f"its member {name} is larger than {_shown(limit_bytes)}")
    return archive.read(name)


def require_size(size_bytes: int, limit_bytes: int, path: Name) -> None:
    """Raise UnsuitableFile if a file is larger than the limit."""
    if size_bytes > limit_bytes:
        raise UnsuitableFile(errno.EFBIG, f"larger than {_shown(limit_bytes)}", path)


def _open(name: str | bytes, limit_bytes: int | None, path: Name, folder: int | None = None) -> BufferedReader:
    """Open the file `name`, relative to the folder with this descriptor. Messages call it `path`."""
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

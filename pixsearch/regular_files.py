"""The one way in which pixsearch opens a file that a person or a folder named.

Behind any name there may be a pipe that nobody writes to, a device without an end or a file of terabytes. Here a name
is opened without waiting, what was opened is looked at, and no more of it is read than makes sense for its kind.
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
"""Of a file that people write by hand, or list their words in."""
DATA_LIMIT_BYTES = 2 << 30
"""Of a file that is read as a whole; Visual Genome's regions, the largest set that is published so, have 0.7 GB."""
MODEL_LIMIT_BYTES = 16 << 30
"""Of a foreign model's file; the largest of OpenCLIP's has 10 GB."""

_PART_BYTES = 1 << 16
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OPEN_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class UnsuitableFile(OSError):
    """What has this name is not a regular file, or is larger than any of its kind; `strerror` says which."""


def open_regular(path: Name, limit_bytes: int | None = None) -> BufferedReader:
    """Open a regular file to be read. Raises UnsuitableFile for anything else and for more bytes; OSError.

    A pipe or a device is not even opened, unless it takes the place of a file at that very moment; nothing waits.
    """
    return _open(os.fspath(path), limit_bytes, path)


def read_regular(path: Name, limit_bytes: int) -> bytes:
    """Read all of a regular file of at most so many bytes. Raises as `open_regular` does."""
    with open_regular(path, limit_bytes) as file:
        data = file.read(os.fstat(file.fileno()).st_size)
        while len(data) <= limit_bytes and (more := file.read(_PART_BYTES)):  # it grows, or is one of /proc
            data += more
    require_size(len(data), limit_bytes, path)
    return data


def read_stream(stream: BinaryIO, limit_bytes: int, name: Name) -> bytes:
    """Read a stream to its end. Raises UnsuitableFile where it has more bytes than that; OSError."""
    parts, size_bytes = list[bytes](), 0
    while size_bytes <= limit_bytes and (part := stream.read(_PART_BYTES)):
        parts.append(part)
        size_bytes += len(part)
    require_size(size_bytes, limit_bytes, name)
    return b"".join(parts)


def read_argument(name: str, limit_bytes: int) -> bytes:
    """Read what a command was given: a regular file, or to its end what the shell has opened, as by `<(command)`.

    Raises as `read_regular` does.
    """
    if not is_opened_by_shell(name):
        return read_regular(name, limit_bytes)
    with open(name, "rb") as stream:  # noqa: PTH123 - its descriptor is open already
        return read_stream(stream, limit_bytes, name)


def is_opened_by_shell(name: str) -> bool:
    """Return whether a name is that of a descriptor of this process, so that to open it waits for nobody."""
    return os.path.realpath(os.path.dirname(name)) == os.path.realpath("/dev/fd")  # noqa: PTH120 - as realpath


def open_below(folder: bytes, path: bytes, limit_bytes: int | None = None) -> BufferedReader:
    """Open a regular file below a folder, as `open_regular` does, by a way on which there is no link below the folder.

    Raises OSError where a part of the path is a link (ELOOP or ENOTDIR), or `path` is not below `folder`.
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
    """Raise UnsuitableFile where a file in a folder is not one to be read, for those who read all by its name.

    Nothing is wrong with a folder that is not there: the name may be that of something else.
    """
    if os.path.isdir(folder):  # noqa: PTH112 - Path.is_dir raises for some names
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    _require_regular(entry.stat(), MODEL_LIMIT_BYTES, entry.path)


def path_of(file: BufferedReader) -> str:
    """Return a path that leads to a file that is open, whatever has its name by now: for those who take only paths.

    Where the system has no such paths (a container without /proc) it is the name by which the file was opened.
    """
    path = f"/dev/fd/{file.fileno()}"
    return path if os.path.exists(path) else os.fsdecode(file.name)  # noqa: PTH110 - no other use of a Path


def read_member(archive: ZipFile, name: str, limit_bytes: int) -> bytes:
    """Read a member of an archive. Raises BadZipFile where it is unpacked to more bytes; KeyError; as ZipFile does."""
    from zipfile import BadZipFile

    if archive.getinfo(name).file_size > limit_bytes:  # zipfile unpacks no more than that
        raise BadZipFile(f"its member {name} is larger than {_shown(limit_bytes)}")
    return archive.read(name)


def require_size(size_bytes: int, limit_bytes: int, path: Name) -> None:
    """Raise UnsuitableFile for a file of more bytes than that."""
    if size_bytes > limit_bytes:
        raise UnsuitableFile(errno.EFBIG, f"larger than {_shown(limit_bytes)}", path)


def _open(name: str | bytes, limit_bytes: int | None, path: Name, folder: int | None = None) -> BufferedReader:
    """`name` as the system calls take it, in the folder of that descriptor; `path` is what messages call it."""
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

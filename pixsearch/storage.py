"""Files on this machine and in object storage (`s3://`, `gs://`, whatever fsspec reads), by one kind of path.

The library keeps a path as bytes: absolute, since on Linux a file's name need not be valid text; or a URL. For people
and programs it is a `Path`, or a `UPath` (universal_pathlib), which is used like one.

Storages raise errors of their own; here every one is an OSError, as of a disk that does not answer.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pixsearch.errors import UsageError
from pixsearch.printable import without_passwords
from pixsearch.regular_files import open_regular, read_regular, require_size

if TYPE_CHECKING:  # 0.1 s, for those who have photos there
    from fsspec import AbstractFileSystem
    from upath import UPath

FilePath: TypeAlias = "Path | UPath"

_URL = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://(/*[^/])?")
_OF_USER = re.compile(r"[^/]*:/+(?!arn:)[^/]*:")
"""How a URL begins that names a user with a password, or a host with a port; not one of Amazon's name of a resource."""
_NO_STORAGE = (b"http", b"https", b"data")
"""Which fsspec reads as well, but where no folder can be listed."""

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""Where storages say when a file was changed."""

_LATEST_NS = (1 << 63) - 1


class FileStamp(NamedTuple):
    """What tells cheaply that a file has not changed."""

    size_bytes: int
    mtime_ns: int
    """In whole seconds for an object, since a listing and a look at the object itself round it differently."""


def time_kept(mtime_ns: int) -> int:
    """Return a file's time as a database has it, in 64 bits: from 1677 to 2262, where files have times beyond."""
    return max(-_LATEST_NS, min(mtime_ns, _LATEST_NS))


def is_remote(path: bytes) -> bool:
    """Whether this is the URL of something in object storage."""
    return _URL.match(path) is not None


def to_path(name: str | bytes) -> FilePath:
    """A path as it is written, with the home folder for a leading `~`.

    Raises UsageError for the URL of no storage, or of one whose package is missing.
    """
    name = os.fsdecode(name)
    if (url := _URL.match(name.encode(errors="replace"))) is None:
        return Path(os.path.expanduser(name))  # noqa: PTH111 - a Path forgets what "./~a" says
    if _OF_USER.match(name):  # else the storage's own messages would show the password
        raise UsageError(
            f"{without_passwords(name)} is not a supported storage URL: it may not contain a user or a port",
            "Write s3://bucket/folder, and pass credentials as the storage expects them, e.g. in AWS_ACCESS_KEY_ID",
        )
    from upath import UPath

    try:
        path = UPath(name)
        # A host or a user, as in sftp://host/folder, is no part of what UPath calls a path, and would be forgotten.
        if url[1].lower() in _NO_STORAGE or url[2] is None or str(path).rstrip("/") != name.rstrip("/"):
            raise ValueError
        return path
    except ValueError as error:
        raise UsageError(
            f"{without_passwords(name)} is not a supported storage URL", "Write e.g. s3://bucket/folder"
        ) from error
    except ImportError as error:
        raise UsageError(f"{without_passwords(name)} requires a package that is not installed: {error}") from error


def path_bytes(path: FilePath) -> bytes:
    """A path as it is, as the library has one."""
    return os.fsencode(str(path))


def resolved_bytes(path: FilePath) -> bytes:
    """Where a path leads, as the library has it: absolute, without links, or a URL without a slash at its end.

    Raises ValueError for a NUL.
    """
    if isinstance(path, Path):
        # Not Path.resolve: that raises for links that lead in a circle.
        return os.path.realpath(os.fsencode(path))
    return path_bytes(path).rstrip(b"/")


def is_folder(path: bytes) -> bool:
    """Raises OSError where a storage cannot be asked."""
    if not is_remote(path):
        return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where the parent may not be read
    with _as_os_errors():
        system, path_in_storage = _remote(to_path(path))
        return bool(system.isdir(path_in_storage))


def is_file(path: bytes) -> bool:
    """Raises OSError where a storage cannot be asked."""
    if not is_remote(path):
        return os.path.isfile(path)  # noqa: PTH113 - as above
    with _as_os_errors():
        system, path_in_storage = _remote(to_path(path))
        return bool(system.isfile(path_in_storage))


def may_exist(path: FilePath) -> bool:
    """Whether a file is there; of an object it is taken for granted, since to ask takes long."""
    return not isinstance(path, Path) or os.path.exists(path)  # noqa: PTH110 - Path.exists raises where one may not look


def stamp_of(path: FilePath) -> FileStamp:
    """Raises OSError, FileNotFoundError among them."""
    if isinstance(path, Path):
        found = path.stat()
        return FileStamp(found.st_size, time_kept(found.st_mtime_ns))
    with _as_os_errors():
        system, path_in_storage = _remote(path)
        return _stamp(system.info(path_in_storage))


def read_file(path: FilePath, limit_bytes: int, size_bytes: int | None = None) -> bytes:
    """All of it. Raises OSError, FileNotFoundError and UnsuitableFile (see `open_regular`) among them.

    Args:
        limit_bytes: more than any sound file of this kind has.
        size_bytes: of an object, where it is known: then that is how much is read of it, and by a single request.
    """
    if isinstance(path, Path):
        return read_regular(path, limit_bytes)
    if size_bytes is None:
        size_bytes = stamp_of(path).size_bytes
    require_size(size_bytes, limit_bytes, str(path))
    if size_bytes == 0:
        return b""
    with _as_os_errors():
        system, path_in_storage = _remote(path)
        data: bytes = system.cat_file(path_in_storage, start=0, end=size_bytes)
        return data


def read_head(path: FilePath | bytes, size_bytes: int) -> bytes:
    """Its first bytes, so many at most; a path on this machine may come as bytes. Raises OSError, UnsuitableFile."""
    if isinstance(path, Path | bytes):
        with open_regular(path) as file:
            return file.read(size_bytes)
    return read_file(path, size_bytes, min(size_bytes, stamp_of(path).size_bytes))


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A file or folder in a listing, as far as it is used like an `os.DirEntry`."""

    path: bytes
    name: bytes
    stamp: FileStamp | None
    """None for a folder."""

    def is_dir(self) -> bool:
        return self.stamp is None

    def is_file(self) -> bool:
        return self.stamp is not None

    def stat(self) -> RemoteStat:
        """Of a file."""
        assert self.stamp is not None
        return RemoteStat(stat.S_IFREG, *self.stamp)


class RemoteStat(NamedTuple):
    """As far as it is used like an `os.stat_result`."""

    st_mode: int
    st_size: int
    st_mtime_ns: int


Entry: TypeAlias = "os.DirEntry[bytes] | RemoteEntry"


def list_folder(folder: bytes) -> AbstractContextManager[Iterator[Entry]]:
    """What is in a folder, in no order. Raises OSError."""
    if not is_remote(folder):
        return os.scandir(folder)
    return nullcontext(iter(_remote_entries(folder)))


def _remote_entries(folder: bytes) -> list[RemoteEntry]:
    with _as_os_errors():
        system, path_in_storage = _remote(to_path(folder))
        found = system.ls(path_in_storage, detail=True)
    entries: list[RemoteEntry] = []
    for info in found:
        name = os.fsencode(str(info["name"]).removeprefix(path_in_storage.rstrip("/")).removeprefix("/"))
        is_folder = info["type"] == "directory"
        # Its own placeholder; and "a//b", where a folder has no name and its path would be this one's.
        if name and b"/" not in name.rstrip(b"/"):
            name = name.rstrip(b"/")
            entries.append(RemoteEntry(folder + b"/" + name, name, None if is_folder else _stamp(info)))
    return entries


class Listings:
    """Whether and as what files are there, each folder of a storage asked once, rather than once for each file."""

    def __init__(self) -> None:
        self._folders: dict[bytes, dict[bytes, FileStamp]] = {}

    def stamp(self, path: FilePath) -> FileStamp | None:
        """None where there is no such file."""
        if isinstance(path, Path):
            try:
                return stamp_of(path) if path.is_file() else None
            except (OSError, ValueError):  # a name that is too long, a folder that may not be entered
                return None
        folder, _, name = path_bytes(path).rpartition(b"/")
        if folder not in self._folders:
            self._folders[folder] = self._listed(folder)
        return self._folders[folder].get(name)

    def _listed(self, folder: bytes) -> dict[bytes, FileStamp]:
        try:
            entries = _remote_entries(folder)
        except FileNotFoundError:
            return {}
        return {entry.name: entry.stamp for entry in entries if entry.stamp is not None}


def _remote(path: FilePath) -> tuple[AbstractFileSystem, str]:
    """The storage that a path is in, and how it calls what is there."""
    import fsspec

    assert not isinstance(path, Path)
    try:
        # Not path.fs, which is kept with the path and does not outlive a fork.
        system = fsspec.filesystem(path.protocol, **path.storage_options)
    except ImportError as error:
        raise OSError(errno.ENOSYS, f"it requires a package that is not installed: {error}") from error
    system.invalidate_cache()  # of listings, by which it would answer for what has changed since
    return system, path.path


def _stamp(info: Mapping[str, Any]) -> FileStamp:
    time = next((info[key] for key in _TIMES if info.get(key) is not None), 0)
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime) else time
    return FileStamp(int(info["size"] or 0), time_kept(int(seconds) * 10**9))


@contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise OSError(getattr(error, "errno", None) or errno.EIO, without_passwords(reason)) from error

"""Files on this machine and in object storage (`s3://`, `gs://`, whatever fsspec reads), with one kind of path.

The library stores an absolute path or a URL as bytes, since on Linux a file's name need not be valid text. Elsewhere it
is a `Path`, or a `UPath` (universal_pathlib), which is used like one.

Storages raise errors of their own; here they all become OSErrors, like those of a disk.
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

if TYPE_CHECKING:  # 0.1 s, which only photos in a storage should cost
    from fsspec import AbstractFileSystem
    from upath import UPath

FilePath: TypeAlias = "Path | UPath"

_URL = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://(/*[^/])?")
_OF_USER = re.compile(r"[^/]*:/+(?!arn:)[^/]*:")
"""The beginning of a URL with a user and password, or a host and port, but not of an Amazon resource name."""
_NO_STORAGE = (b"http", b"https", b"data")
"""The protocols that fsspec reads too, but which cannot list folders."""

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""The keys under which storages give the modification time of a file."""

_LATEST_NS = (1 << 63) - 1


class FileStamp(NamedTuple):
    """The size and time of a file, which show cheaply that it has not changed."""

    size_bytes: int
    mtime_ns: int
    """The modification time; for an object in whole seconds, since listings and requests round it differently."""


def time_kept(mtime_ns: int) -> int:
    """Return a file's time limited to the 64 bits of the database, from 1677 to 2262."""
    return max(-_LATEST_NS, min(mtime_ns, _LATEST_NS))


def is_remote(path: bytes) -> bool:
    """Return whether a path is a URL in object storage."""
    return _URL.match(path) is not None


def to_path(name: str | bytes) -> FilePath:
    """Return the path for a name, with the home folder for a leading `~`.

    Raises UsageError for a URL that is not in a known storage, or if the storage's package is missing.
    """
    name = os.fsdecode(name)
    if (url := _URL.match(name.encode(errors="replace"))) is None:
        return Path(os.path.expanduser(name))  # noqa: PTH111 - a Path turns "./~a" into "~a"
    if _OF_USER.match(name):  # else the storage's own messages would show the password
        raise UsageError(
            f"{without_passwords(name)} is not a supported storage URL: it may not contain a user or a port",
            "Write s3://bucket/folder, and pass credentials as the storage expects them, e.g. in AWS_ACCESS_KEY_ID",
        )
    from upath import UPath

    try:
        path = UPath(name)
        # A host or a user, as in sftp://host/folder, is not part of a UPath's path, and would be lost.
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
    """Return a path, unresolved, in the library's form."""
    return os.fsencode(str(path))


def resolved_bytes(path: FilePath) -> bytes:
    """Return a path in the library's form: absolute and without links, or a URL without a trailing slash.

    Raises ValueError for a NUL.
    """
    if isinstance(path, Path):
        # Not Path.resolve, which raises for circular links.
        return os.path.realpath(os.fsencode(path))
    return path_bytes(path).rstrip(b"/")


def is_folder(path: bytes) -> bool:
    """Return whether a path is a folder. Raises OSError if its storage cannot be reached."""
    if not is_remote(path):
        return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises if the parent cannot be read
    with _as_os_errors():
        system, path_in_storage = _remote(to_path(path))
        return bool(system.isdir(path_in_storage))


def is_file(path: bytes) -> bool:
    """Return whether a path is a file. Raises OSError if its storage cannot be reached."""
    if not is_remote(path):
        return os.path.isfile(path)  # noqa: PTH113 - as above
    with _as_os_errors():
        system, path_in_storage = _remote(to_path(path))
        return bool(system.isfile(path_in_storage))


def may_exist(path: FilePath) -> bool:
    """Return whether a file exists. An object in a storage is assumed to, since checking takes long."""
    return not isinstance(path, Path) or os.path.exists(path)  # noqa: PTH110 - Path.exists raises without permission


def stamp_of(path: FilePath) -> FileStamp:
    """Return the current stamp of a file. Raises OSError, such as FileNotFoundError."""
    if isinstance(path, Path):
        found = path.stat()
        return FileStamp(found.st_size, time_kept(found.st_mtime_ns))
    with _as_os_errors():
        system, path_in_storage = _remote(path)
        return _stamp(system.info(path_in_storage))


def read_file(path: FilePath, limit_bytes: int, size_bytes: int | None = None) -> bytes:
    """Read a file. Raises OSError, such as FileNotFoundError or UnsuitableFile (see `open_regular`).

    Args:
        path: the file.
        limit_bytes: more than any sound file of this kind has.
        size_bytes: the size of an object, if known: then it is read up to that, by a single request.
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
    """Read up to `size_bytes` from the start of a file. A local path may be bytes. Raises OSError, UnsuitableFile."""
    if isinstance(path, Path | bytes):
        with open_regular(path) as file:
            return file.read(size_bytes)
    return read_file(path, size_bytes, min(size_bytes, stamp_of(path).size_bytes))


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A file or folder in a listing, with the part of `os.DirEntry` that is used here."""

    path: bytes
    name: bytes
    stamp: FileStamp | None
    """The stamp of a file; None for a folder."""

    def is_dir(self) -> bool:
        return self.stamp is None

    def is_file(self) -> bool:
        return self.stamp is not None

    def stat(self) -> RemoteStat:
        """Return the status of a file; not for folders."""
        assert self.stamp is not None
        return RemoteStat(stat.S_IFREG, *self.stamp)


class RemoteStat(NamedTuple):
    """The part of `os.stat_result` that is used here."""

    st_mode: int
    st_size: int
    st_mtime_ns: int


Entry: TypeAlias = "os.DirEntry[bytes] | RemoteEntry"


def list_folder(folder: bytes) -> AbstractContextManager[Iterator[Entry]]:
    """List a folder, in no particular order. Raises OSError."""
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
        # Leave out the folder's own placeholder, and "a//b", where a nameless folder would have this one's path.
        if name and b"/" not in name.rstrip(b"/"):
            name = name.rstrip(b"/")
            entries.append(RemoteEntry(folder + b"/" + name, name, None if is_folder else _stamp(info)))
    return entries


class Listings:
    """The stamps of files; each folder of a storage is listed once, instead of a request for each file."""

    def __init__(self) -> None:
        self._folders: dict[bytes, dict[bytes, FileStamp]] = {}

    def stamp(self, path: FilePath) -> FileStamp | None:
        """Return the stamp of a file, or None if it does not exist."""
        if isinstance(path, Path):
            try:
                return stamp_of(path) if path.is_file() else None
            except (OSError, ValueError):  # the name is too long, or the folder cannot be entered
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
    """Return the storage of a path, and the path within it."""
    import fsspec

    assert not isinstance(path, Path)
    try:
        # Not path.fs, which is cached with the path and does not survive a fork.
        system = fsspec.filesystem(path.protocol, **path.storage_options)
    except ImportError as error:
        raise OSError(errno.ENOSYS, f"it requires a package that is not installed: {error}") from error
    system.invalidate_cache()  # its cached listings may be outdated
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

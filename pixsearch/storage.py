"""Uniform access to local files and object storage (`s3://`, `gs://` and anything else that fsspec supports).

The library stores absolute paths and URLs as bytes, because Linux file names may be invalid text. Everywhere else, they
are `Path` or `UPath` objects (from universal_pathlib), which have the same interface.

All storage errors are converted to OSError.
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

if TYPE_CHECKING:  # importing fsspec takes 0.1 s, so it is done only for remote storage
    from fsspec import AbstractFileSystem
    from upath import UPath

FilePath: TypeAlias = "Path | UPath"

_URL = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*)://(/*[^/])?")
_OF_USER = re.compile(r"[^/]*:/+(?!arn:)[^/]*:")
"""A pattern for the start of a URL with a user and password, or a host and port. Amazon resource names do not match."""
_NO_STORAGE = (b"http", b"https", b"data")
"""The protocols that fsspec supports but that cannot list folders."""

_TIMES = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
"""The keys that different storage systems use for the modification time of a file."""

_LATEST_NS = (1 << 63) - 1


class FileStamp(NamedTuple):
    """The size and modification time of a file, used to check quickly whether it has changed."""

    size_bytes: int
    mtime_ns: int
    """The modification time. Remote objects use whole seconds, because listings and requests round them differently."""


def time_kept(mtime_ns: int) -> int:
    """Return a modification time clamped to the range of a 64-bit database column (years 1677 to 2262)."""
    return max(-_LATEST_NS, min(mtime_ns, _LATEST_NS))


def is_remote(path: bytes) -> bool:
    """Return whether a path is a URL."""
    return _URL.match(path) is not None


def to_path(name: str | bytes) -> FilePath:
    """Convert a path or URL to a path object, expanding a leading `~` to the home folder.

    Raises UsageError if a URL is not supported or requires a package that is not installed.
    """
    name = os.fsdecode(name)
    if (url := _URL.match(name.encode(errors="replace"))) is None:
        return Path(os.path.expanduser(name))  # noqa: PTH111 - a Path turns "./~a" into "~a"
    if _OF_USER.match(name):  # otherwise error messages from the storage would contain the password
        raise UsageError(
            f"{without_passwords(name)} is not a supported storage URL: it cannot contain a user or a port",
            "Use a URL such as s3://bucket/folder, and set credentials separately, e.g. in AWS_ACCESS_KEY_ID",
        )
    from upath import UPath

    try:
        path = UPath(name)
        # A host or user, as in sftp://host/folder, is not part of the UPath's path and would be lost.
        if url[1].lower() in _NO_STORAGE or url[2] is None or str(path).rstrip("/") != name.rstrip("/"):
            raise ValueError
        return path
    except ValueError as error:
        raise UsageError(
            f"{without_passwords(name)} is not a supported storage URL", "Use a URL such as s3://bucket/folder"
        ) from error
    except ImportError as error:
        raise UsageError(f"{without_passwords(name)} requires a package that is not installed: {error}") from error


def path_bytes(path: FilePath) -> bytes:
    """Return a path in the form stored in the library, without resolving it."""
    return os.fsencode(str(path))


def resolved_bytes(path: FilePath) -> bytes:
    """Return a path in the form stored in the library: absolute and without links, or a URL without trailing slashes.

    Raises ValueError if the path contains a NUL character.
    """
    if isinstance(path, Path):
        # Not Path.resolve, which raises an error for circular links.
        return os.path.realpath(os.fsencode(path))
    return path_bytes(path).rstrip(b"/")


def is_folder(path: bytes) -> bool:
    """Return whether a path is a folder. Raises OSError if the storage cannot be reached."""
    if not is_remote(path):
        return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises an error if the parent is unreadable
    with _as_os_errors():
        system, path_in_storage = _remote(to_path(path))
        return bool(system.isdir(path_in_storage))


def is_file(path: bytes) -> bool:
    """Return whether a path is a file. Raises OSError if the storage cannot be reached."""
    if not is_remote(path):
        return os.path.isfile(path)  # noqa: PTH113 - as above
    with _as_os_errors():
        system, path_in_storage = _remote(to_path(path))
        return bool(system.isfile(path_in_storage))


def may_exist(path: FilePath) -> bool:
    """Return whether a local file exists. Always return True for a remote object, because checking would be slow."""
    return not isinstance(path, Path) or os.path.exists(path)  # noqa: PTH110 - Path.exists raises PermissionError


def stamp_of(path: FilePath) -> FileStamp:
    """Return the current size and modification time of a file. Raises OSError, e.g. FileNotFoundError."""
    if isinstance(path, Path):
        found = path.stat()
        return FileStamp(found.st_size, time_kept(found.st_mtime_ns))
    with _as_os_errors():
        system, path_in_storage = _remote(path)
        return _stamp(system.info(path_in_storage))


def read_file(path: FilePath, limit_bytes: int, size_bytes: int | None = None) -> bytes:
    """Read a file. Raises OSError, e.g. FileNotFoundError or UnsuitableFile (see `open_regular`).

    Args:
        path: the file to read.
        limit_bytes: the maximum size of the file.
        size_bytes: the size of a remote object, if known. It is then read up to this size in a single request.
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
    """Read up to `size_bytes` from the start of a file. A local path may be bytes. Raises OSError."""
    if isinstance(path, Path | bytes):
        with open_regular(path) as file:
            return file.read(size_bytes)
    return read_file(path, size_bytes, min(size_bytes, stamp_of(path).size_bytes))


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """A file or folder in a remote listing, with the subset of the `os.DirEntry` interface used by pixsearch."""

    path: bytes
    name: bytes
    stamp: FileStamp | None
    """The size and modification time of a file; None for a folder."""

    def is_dir(self) -> bool:
        return self.stamp is None

    def is_file(self) -> bool:
        return self.stamp is not None

    def stat(self) -> RemoteStat:
        """Return the status of a file. Must not be called for folders."""
        assert self.stamp is not None
        return RemoteStat(stat.S_IFREG, *self.stamp)


class RemoteStat(NamedTuple):
    """The subset of `os.stat_result` used by pixsearch."""

    st_mode: int
    st_size: int
    st_mtime_ns: int


Entry: TypeAlias = "os.DirEntry[bytes] | RemoteEntry"


def list_folder(folder: bytes) -> AbstractContextManager[Iterator[Entry]]:
    """List a folder in arbitrary order. Raises OSError."""
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
        # Skip the folder's own placeholder, and "a//b", whose nameless folder would have the same path as this one.
        if name and b"/" not in name.rstrip(b"/"):
            name = name.rstrip(b"/")
            entries.append(RemoteEntry(folder + b"/" + name, name, None if is_folder else _stamp(info)))
    return entries


class Listings:
    """A cache of file stamps, which lists each remote folder once instead of sending a request for each file."""

    def __init__(self) -> None:
        self._folders: dict[bytes, dict[bytes, FileStamp]] = {}

    def stamp(self, path: FilePath) -> FileStamp | None:
        """Return the size and modification time of a file, or None if the file does not exist."""
        if isinstance(path, Path):
            try:
                return stamp_of(path) if path.is_file() else None
            except (OSError, ValueError):  # the name is too long, or the folder is not accessible
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
    """Return the file system for a remote path, and the path within it."""
    import fsspec

    assert not isinstance(path, Path)
    try:
        # Not path.fs, which is cached with the path and does not work after a fork.
        system = fsspec.filesystem(path.protocol, **path.storage_options)
    except ImportError as error:
        raise OSError(errno.ENOSYS, f"the storage requires a package that is not installed: {error}") from error
    system.invalidate_cache()  # cached listings may be outdated
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

"""A size-limited disk cache for data that can be regenerated."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from pixsearch.regular_files import read_regular

_LARGEST_BYTES = 128 << 20
_ROOM_MADE = 0.9
"""The fraction of the limit to which a full cache is reduced, so that not every new file requires a deletion."""
_SHARE_UNSEEN = 1 / 32
"""The average amount of data added between two scans of the folder, as a fraction of the limit.

A scan takes 3 µs per file."""
_LEFT_FREE_SHARE, _LEFT_FREE_BYTES = 0.05, 1 << 30
"""The disk space to leave free for other programs: the smaller of a fraction of the disk and a number of bytes."""
_CHECKSUM_BYTES = hashlib.sha256().digest_size


class DiskCache:
    """A cache of named files that deletes the least recently used ones. Threads and processes can share a folder.

    The folder is accessible only to its owner. A file may disappear at any time, even right after `put`: a full or
    read-only disk is not an error, and nothing is stored on a nearly full disk. The folder may slightly exceed its
    limit because processes do not count each other's files, and because `put` does not scan the folder every time (a
    scan is more likely for a large file).
    """

    def __init__(self, folder: Path, limit_bytes: Callable[[], int]) -> None:
        """Create a cache. `limit_bytes` is called before each scan of the folder, and in the first `put`."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._last_limit: int | None = None

    def get(self, name: str) -> bytes | None:
        """Return the data stored under a name, or None if it is missing or damaged."""
        file = self._folder / name
        try:
            sealed = read_regular(file, _LARGEST_BYTES)
            os.utime(file)
        except OSError:
            return None
        data, checksum = sealed[:-_CHECKSUM_BYTES], sealed[-_CHECKSUM_BYTES:]
        return data if hashlib.sha256(data).digest() == checksum else None

    def put(self, name: str, data: bytes) -> None:
        """Store data under a name.

        Exceptions from `limit_bytes` are raised after the data is stored, but before anything is deleted.
        """
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_nearly_full(self._folder):
                return
            # Not durable: after a power failure, the checksum reveals incomplete data.
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                try:
                    file.write(data + hashlib.sha256(data).digest())
                    file.close()
                    Path(file.name).replace(self._folder / name)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            if self._last_limit is None:
                self._last_limit = self._limit_bytes()
            if random.random() * self._last_limit * _SHARE_UNSEEN < len(data) + _CHECKSUM_BYTES:
                self._last_limit = self._limit_bytes()
                self._make_room(self._last_limit)

    def _make_room(self, limit_bytes: int) -> None:
        """Delete the oldest files if the cache exceeds the limit. Raises OSError."""
        total = sum(size for _, size, _ in self._files())
        if total <= limit_bytes:
            return
        for _, size, name in sorted(self._files()):
            if total <= limit_bytes * _ROOM_MADE:
                break
            (self._folder / name).unlink(missing_ok=True)
            total -= size

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """Yield the last use (in ns), size and name of each file."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process may have deleted it
                    found = entry.stat()
                    yield found.st_mtime_ns, found.st_size, entry.name


def _is_nearly_full(folder: Path) -> bool:
    """Return whether the disk has less free space than the cache must leave. Raises OSError."""
    disk = os.statvfs(folder)
    left_free = min(disk.f_blocks * _LEFT_FREE_SHARE * disk.f_frsize, _LEFT_FREE_BYTES)
    return disk.f_bavail * disk.f_frsize < left_free

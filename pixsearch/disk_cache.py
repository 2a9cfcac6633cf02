"""A cache on disk, limited in size, for data that can be made again."""

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
"""The share of the limit to which the cache is reduced, so that old files are not deleted for every new one."""
_SHARE_UNSEEN = 1 / 32
"""The share of the limit that is added, on average, between two scans of the folder, which take 3 µs per file."""
_LEFT_FREE_SHARE, _LEFT_FREE_BYTES = 0.05, 1 << 30
"""The space on the disk that is left free for others: the smaller of the two."""
_CHECKSUM_BYTES = hashlib.sha256().digest_size


class DiskCache:
    """A cache of files by name; the least recently read are deleted first. Threads and processes may share a folder.

    The folder is private to its owner. No file is guaranteed to stay, not even one just added: a full or read-only disk
    is not an error, and a nearly full one is not used. The folder may exceed its limit a little, since processes do not
    count each other's files, and each `put` scans the folder only with a probability that grows with the file's size.
    """

    def __init__(self, folder: Path, limit_bytes: Callable[[], int]) -> None:
        """Prepare a cache. `limit_bytes` is called at every scan of the folder, and once before."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._last_limit: int | None = None

    def get(self, name: str) -> bytes | None:
        """Return the data stored under a name, or None if there is none or it is damaged."""
        file = self._folder / name
        try:
            sealed = read_regular(file, _LARGEST_BYTES)
            os.utime(file)
        except OSError:
            return None
        data, checksum = sealed[:-_CHECKSUM_BYTES], sealed[-_CHECKSUM_BYTES:]
        return data if hashlib.sha256(data).digest() == checksum else None

    def put(self, name: str, data: bytes) -> None:
        """Store data under a name. Raises the errors of `limit_bytes`, after storing and without deleting anything."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_nearly_full(self._folder):
                return
            # Not durable: after a power cut the checksum is wrong.
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
        """Delete the oldest files if they exceed the limit. Raises OSError."""
        total = sum(size for _, size, _ in self._files())
        if total <= limit_bytes:
            return
        for _, size, name in sorted(self._files()):
            if total <= limit_bytes * _ROOM_MADE:
                break
            (self._folder / name).unlink(missing_ok=True)
            total -= size

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """Yield the time of each file's last use, its size and its name."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process may have deleted it
                    found = entry.stat()
                    yield found.st_mtime_ns, found.st_size, entry.name


def _is_nearly_full(folder: Path) -> bool:
    """Return whether the disk has less free space than a cache should leave. Raises OSError."""
    disk = os.statvfs(folder)
    left_free = min(disk.f_blocks * _LEFT_FREE_SHARE * disk.f_frsize, _LEFT_FREE_BYTES)
    return disk.f_bavail * disk.f_frsize < left_free

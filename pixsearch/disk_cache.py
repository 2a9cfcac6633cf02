"""What may be made again, kept on disk within a bound."""

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
"""The share of the limit that is left after old files were deleted, so that this is not done for each new one."""
_SHARE_UNSEEN = 1 / 32
"""The share of the limit that is put in, on average, before the folder is looked through: that takes 3 µs a file."""
_LEFT_FREE_SHARE, _LEFT_FREE_BYTES = 0.05, 1 << 30
"""What is left to others of a disk, whichever is less."""
_CHECKSUM_BYTES = hashlib.sha256().digest_size


class DiskCache:
    """Files by name, of which those go that were not read for longest. Threads and processes may share a folder.

    The folder is its owner's alone. Nothing is guaranteed to be there, not even what was put in a moment ago: a disk
    that is full or read-only is no error, and of one that is nearly full nothing is taken. The folder may take a little
    more than its limit: nobody counts what others put in, and each `put` looks through the folder with a chance that
    grows with its size.
    """

    def __init__(self, folder: Path, limit_bytes: Callable[[], int]) -> None:
        """`limit_bytes` is called whenever the folder is looked through, and once before."""
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._last_limit: int | None = None

    def get(self, name: str) -> bytes | None:
        """What was put in; None where it is not there, or not whole."""
        file = self._folder / name
        try:
            sealed = read_regular(file, _LARGEST_BYTES)
            os.utime(file)
        except OSError:
            return None
        data, checksum = sealed[:-_CHECKSUM_BYTES], sealed[-_CHECKSUM_BYTES:]
        return data if hashlib.sha256(data).digest() == checksum else None

    def put(self, name: str, data: bytes) -> None:
        """Keep data under a name. Raises what `limit_bytes` does, with the data in and nothing deleted."""
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if _is_nearly_full(self._folder):
                return
            # Not durable: what a power cut leaves of it has the wrong checksum.
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
        """Delete the oldest files where there are too many. Raises OSError."""
        total = sum(size for _, size, _ in self._files())
        if total <= limit_bytes:
            return
        for _, size, name in sorted(self._files()):
            if total <= limit_bytes * _ROOM_MADE:
                break
            (self._folder / name).unlink(missing_ok=True)
            total -= size

    def _files(self) -> Iterator[tuple[int, int, str]]:
        """When each was last read or put in, its size and its name."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process makes room as well
                    found = entry.stat()
                    yield found.st_mtime_ns, found.st_size, entry.name


def _is_nearly_full(folder: Path) -> bool:
    """Whether what can be made again would take the room of what cannot. Raises OSError."""
    disk = os.statvfs(folder)
    left_free = min(disk.f_blocks * _LEFT_FREE_SHARE * disk.f_frsize, _LEFT_FREE_BYTES)
    return disk.f_bavail * disk.f_frsize < left_free

"""What may be made again, kept on disk within a bound."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock

from pixsearch.regular_files import read_regular

_ROOM_MADE = 0.9
"""The share of the limit that is left after old files were deleted, so that this is not done for each new one."""
_CHECKSUM_BYTES = hashlib.sha256().digest_size


class DiskCache:
    """Files by name, of which those go that were not read for longest. Threads and processes may share a folder.

    The folder is its owner's alone. Nothing is guaranteed to be there, not even what was put in a moment ago: a disk
    that is full or read-only is no error.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit_bytes = limit_bytes
        self._bytes: int | None = None
        """What the files take, as far as this process knows; None before it has looked."""
        self._lock = Lock()

    def get(self, name: str) -> bytes | None:
        """What was put in; None where it is not there, or not whole."""
        file = self._folder / name
        try:
            sealed = read_regular(file, self._limit_bytes)
            os.utime(file)
        except OSError:
            return None
        data, checksum = sealed[:-_CHECKSUM_BYTES], sealed[-_CHECKSUM_BYTES:]
        return data if hashlib.sha256(data).digest() == checksum else None

    def put(self, name: str, data: bytes) -> None:
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not durable: what a power cut leaves of it has the wrong checksum.
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                try:
                    file.write(data + hashlib.sha256(data).digest())
                    file.close()
                    Path(file.name).replace(self._folder / name)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
            with self._lock:
                if self._bytes is not None:
                    self._bytes += len(data) + _CHECKSUM_BYTES
                if self._bytes is None or self._bytes > self._limit_bytes:
                    self._bytes = self._make_room()

    def _make_room(self) -> int:
        """Delete the oldest files where there are too many. Gives what the others take. Raises OSError."""
        files = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):  # another process makes room as well
                found = entry.stat()
                files.append((found.st_mtime_ns, found.st_size, entry.path))
        total = sum(size for _, size, _ in files)
        if total <= self._limit_bytes:
            return total
        for _, size, path in sorted(files):
            if total <= self._limit_bytes * _ROOM_MADE:
                break
            Path(path).unlink(missing_ok=True)
            total -= size
        return total

"""Find the changes in a folder since its last run by comparing two sorted streams, neither of them held in memory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from pixsearch.library.records import FileFacts, KnownFile
from pixsearch.picture_files import is_named_like_a_picture, starts_like_a_picture
from pixsearch.storage import FileStamp
from pixsearch_indexer.scan import Scan

_CHUNK_SIZE = 1000


class Changed(NamedTuple):
    """A new or modified file."""

    path: bytes
    stamp: FileStamp
    sidecars: bytes | None = None


class Outdated(NamedTuple):
    """An unchanged photo whose metadata must be read again because a sidecar or the rules for reading it changed."""

    path: bytes
    stamp: FileStamp
    sidecars: bytes | None


class Gone(NamedTuple):
    """A file that is known to be deleted."""

    path: bytes


Change: TypeAlias = Changed | Outdated | Gone


@dataclass(slots=True)
class Counts:
    """File counts, which are updated as a comparison proceeds."""

    found: int = 0
    unchanged: int = 0
    failed: int = 0
    """Files that failed in an earlier run and have not changed since."""
    not_read: dict[str, int] = field(default_factory=dict)
    """The number of files that are not pictures, by suffix."""


def compare(
    scan: Scan,
    photos: Iterator[list[KnownFile]],
    failures: Iterator[list[KnownFile]],
    counts: Counts,
    on_files: Callable[[int], None],
) -> Iterator[Change]:
    """Yield the changes in a folder, sorted by path.

    `photos` and `failures` yield the known files below the folder in chunks, also sorted by path. A file whose failure
    was recorded without a size is always read again. `counts` is updated along the way, and `on_files` is called with
    the number of files found so far.
    """
    known_photos, known_failures = _Sorted(photos), _Sorted(failures)
    for files in scan:
        for start in range(0, len(files), _CHUNK_SIZE):
            part = files[start : start + _CHUNK_SIZE]
            # Most chunks are unchanged, and comparing whole lists is 30 times faster than comparing file by file.
            if known_failures.all_after(part[-1][0]) and known_photos.take_if_next(part):
                counts.found += len(part)
                counts.unchanged += len(part)
            else:
                yield from _compare_each(scan, part, known_photos, known_failures, counts)
            on_files(counts.found)
    for known in (known_photos, known_failures):
        yield from _gone(known.before(None), scan)


def _compare_each(
    scan: Scan, files: list[FileFacts], photos: _Sorted, failures: _Sorted, counts: Counts
) -> Iterator[Change]:
    for file in files:
        path, size_bytes, mtime_ns, sidecars = file
        yield from _gone(photos.before(path), scan)
        yield from _gone(failures.before(path), scan)
        photo, failure = photos.at(path), failures.at(path)
        if not (photo or failure or is_named_like_a_picture(path) or starts_like_a_picture(path)):
            kind = _kind(path)
            counts.not_read[kind] = counts.not_read.get(kind, 0) + 1
            continue
        counts.found += 1
        if failure is not None and failure[:3] == file[:3]:
            counts.failed += 1
        elif failure is None and photo == file:
            counts.unchanged += 1
        elif failure is None and photo is not None and photo[:3] == file[:3]:
            yield Outdated(path, FileStamp(size_bytes, mtime_ns), sidecars)
        else:
            yield Changed(path, FileStamp(size_bytes, mtime_ns), sidecars)


def _kind(path: bytes) -> str:
    """Return a file's suffix in lower case, or "" if it does not look like a file type."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - bytes
    return suffix.decode("ascii") if suffix.isascii() and re.fullmatch(rb"\.\w{1,12}", suffix) else ""


class _Sorted:
    """The known files, sorted by path and consumed as the scan passes them."""

    def __init__(self, parts: Iterator[list[KnownFile]]) -> None:
        self._parts = parts
        self._files: list[KnownFile] = []
        self._next = 0

    def take_if_next(self, files: list[FileFacts]) -> bool:
        """Consume these files if they are exactly the next ones. Return whether they were consumed."""
        while len(self._files) - self._next < len(files) and self._read_more():
            pass
        end = self._next + len(files)
        if self._files[self._next : end] != files:
            return False
        self._next = end
        return True

    def all_after(self, path: bytes) -> bool:
        """Return whether all remaining files come after this path."""
        return not self._has_next() or self._files[self._next][0] > path

    def before(self, path: bytes | None) -> Iterator[KnownFile]:
        """Yield and consume the files before this path, or all remaining files if it is None."""
        while self._has_next() and (path is None or self._files[self._next][0] < path):
            self._next += 1
            yield self._files[self._next - 1]

    def at(self, path: bytes) -> KnownFile | None:
        """Consume and return the next file if it has this path."""
        if not self._has_next() or self._files[self._next][0] != path:
            return None
        self._next += 1
        return self._files[self._next - 1]

    def _has_next(self) -> bool:
        return self._next < len(self._files) or self._read_more()

    def _read_more(self) -> bool:
        if (more := next(self._parts, None)) is None:
            return False
        self._files = self._files[self._next :] + more
        self._next = 0
        return True


def _gone(passed: Iterator[KnownFile], scan: Scan) -> Iterator[Gone]:
    return (Gone(known[0]) for known in passed if scan.is_gone(known[0]))

"""What changed in a folder since the library last looked: two sorted streams, neither of them kept."""

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

_AT_ONCE = 1000


class Changed(NamedTuple):
    """A file that is new, or not as it was."""

    path: bytes
    stamp: FileStamp
    sidecars: bytes | None = None


class Outdated(NamedTuple):
    """A photo that is as it was, but what lies beside it is not, or its metadata were read by older rules."""

    path: bytes
    stamp: FileStamp
    sidecars: bytes | None


class Gone(NamedTuple):
    """A file that was there, and is certainly there no more."""

    path: bytes


Change: TypeAlias = Changed | Outdated | Gone


@dataclass(slots=True)
class Counts:
    """How many files a comparison has met so far."""

    found: int = 0
    unchanged: int = 0
    failed: int = 0
    """Unchanged since they failed."""
    not_read: dict[str, int] = field(default_factory=dict)
    """Files that are no pictures, by suffix."""


def compare(
    scan: Scan,
    photos: Iterator[list[KnownFile]],
    failures: Iterator[list[KnownFile]],
    counts: Counts,
    on_files: Callable[[int], None],
) -> Iterator[Change]:
    """What is to be done about a folder, in the order of paths.

    `photos` and `failures` are what the library knows below it, in that order too, some at a time. A failure without a
    size, and with it its photo, is looked at again. `counts` grows as it goes, and `on_files` hears the number found.
    """
    known_photos, known_failures = _Sorted(photos), _Sorted(failures)
    for files in scan:
        for start in range(0, len(files), _AT_ONCE):
            part = files[start : start + _AT_ONCE]
            # Most parts are as they were, and to compare lists is thirty times as fast as to compare file by file.
            if known_failures.is_behind(part[-1][0]) and known_photos.take_if_next(part):
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
    """The suffix of a file's name, in lower case; nothing where it has none that a kind of file would have."""
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - bytes
    return suffix.decode("ascii") if suffix.isascii() and re.fullmatch(rb"\.\w{1,12}", suffix) else ""


class _Sorted:
    """Known files in the order of their paths, taken as a walk passes them."""

    def __init__(self, parts: Iterator[list[KnownFile]]) -> None:
        self._parts = parts
        self._files: list[KnownFile] = []
        self._next = 0

    def take_if_next(self, files: list[FileFacts]) -> bool:
        """Whether the next ones are exactly these."""
        while len(self._files) - self._next < len(files) and self._read_on():
            pass
        behind = self._next + len(files)
        if self._files[self._next : behind] != files:
            return False
        self._next = behind
        return True

    def is_behind(self, path: bytes) -> bool:
        """Whether all that are left come after this path."""
        return not self._is_there() or self._files[self._next][0] > path

    def before(self, path: bytes | None) -> Iterator[KnownFile]:
        """Take those that come before this path; all that are left where there is none."""
        while self._is_there() and (path is None or self._files[self._next][0] < path):
            self._next += 1
            yield self._files[self._next - 1]

    def at(self, path: bytes) -> KnownFile | None:
        """Take the one of this path, if it is the next."""
        if not self._is_there() or self._files[self._next][0] != path:
            return None
        self._next += 1
        return self._files[self._next - 1]

    def _is_there(self) -> bool:
        return self._next < len(self._files) or self._read_on()

    def _read_on(self) -> bool:
        if (more := next(self._parts, None)) is None:
            return False
        self._files = self._files[self._next :] + more
        self._next = 0
        return True


def _gone(passed: Iterator[KnownFile], scan: Scan) -> Iterator[Gone]:
    return (Gone(known[0]) for known in passed if scan.is_gone(known[0]))

"""What changed in a folder since the library last looked: two sorted streams, neither of them kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pixsearch.library.records import FileStamp, KnownFile
from pixsearch_indexer.scan import Scan, starts_like_a_picture

ScannedCallback = Callable[[int], None]
_TELL_EVERY = 1000


class Changed(NamedTuple):
    """A file that is new, or not as it was."""

    path: bytes
    stamp: FileStamp


class Gone(NamedTuple):
    """A file that was there, and is certainly there no more."""

    path: bytes


@dataclass(slots=True)
class Counts:
    """How many files a comparison has met so far."""

    found: int = 0
    unchanged: int = 0
    failed: int = 0
    """Unchanged since they failed."""


def compare(
    scan: Scan,
    photos: Iterator[KnownFile],
    failures: Iterator[KnownFile],
    counts: Counts,
    on_files: ScannedCallback,
) -> Iterator[Changed | Gone]:
    """What is to be done about a folder, in the order of paths.

    `photos` and `failures` are what the library knows below it, in that order too; a failure without a stamp, and with
    it its photo, is looked at again. `counts` grows as it goes, and `on_files` hears the number found now and then.
    """
    known = _Sorted(photos), _Sorted(failures)
    for path, stamp, named_so in scan:
        for files in known:
            yield from _gone(files.before(path), scan)
        photo, failure = (files.at(path) for files in known)
        if not (photo or failure or named_so or starts_like_a_picture(path)):
            continue
        counts.found += 1
        if counts.found % _TELL_EVERY == 0:
            on_files(counts.found)
        if failure is not None and failure.stamp == stamp:
            counts.failed += 1
        elif failure is None and photo is not None and photo.stamp == stamp:
            counts.unchanged += 1
        else:
            yield Changed(path, stamp)
    for files in known:
        yield from _gone(files.before(None), scan)
    on_files(counts.found)


class _Sorted:
    """Known files in the order of their paths, taken as a walk passes them."""

    def __init__(self, files: Iterator[KnownFile]) -> None:
        self._files = files
        self._next = next(files, None)

    def before(self, path: bytes | None) -> Iterator[KnownFile]:
        """Those that come before this path; all that are left where there is none."""
        while self._next is not None and (path is None or self._next.path < path):
            yield self._next
            self._next = next(self._files, None)

    def at(self, path: bytes) -> KnownFile | None:
        if self._next is None or self._next.path != path:
            return None
        found, self._next = self._next, next(self._files, None)
        return found


def _gone(passed: Iterator[KnownFile], scan: Scan) -> Iterator[Gone]:
    return (Gone(file.path) for file in passed if scan.is_gone(file.path))

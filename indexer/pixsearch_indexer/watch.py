"""Keep a library up to date while files are added, changed and deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from types import SimpleNamespace

import watchfiles

from pixsearch.errors import LibraryBusy, LibraryError, PixsearchError
from pixsearch.interruption import interruption
from pixsearch.library.library import Library
from pixsearch.paths import is_at_or_below
from pixsearch.progress import ProgressCallback, silent
from pixsearch.search.runtime import Encoder
from pixsearch.storage import to_path
from pixsearch_indexer.pipeline import index_folders
from pixsearch_indexer.report import IndexReport
from pixsearch_indexer.texts import changed_texts
from pixsearch_indexer.writing import ReadPictures, read_here, read_writing

QUIET_MS = 500
"""A burst of changes ends when nothing has changed for this long."""
BURST_MS = 10_000
"""A burst of changes ends after this time in any case."""
POLL_MS = 2000
"""The interval between checks for changes without events, such as unplugged drives and changed text files."""


def watch(
    library: Library,
    encoder: Encoder,
    on_run: Callable[[IndexReport], None],
    on_watching: Callable[[int], None] = lambda _: None,
    progress: Callable[[], AbstractContextManager[ProgressCallback]] = lambda: nullcontext(silent),
    on_error: Callable[[PixsearchError], None] = lambda _: None,
    read_pictures: ReadPictures = read_here,
) -> None:
    """Bring the library up to date now and whenever its folders or text files change, until Ctrl-C or SIGTERM.

    While nothing changes, the text in pictures is read in folders with OCR turned on. Changes found while another
    process is writing to the library are indexed once it has finished. Drives that do not report changes, such as
    network drives, need WATCHFILES_FORCE_POLLING=1 in the environment.

    Args:
        on_run: is called with the report of each run.
        on_watching: is called with the number of watched folders, each time it may have changed.
        on_error: is called with the error if the text in pictures cannot be read.
        progress: returns a context manager for a run, which provides the run's progress callback.

    Raises:
        UsageError: no folders have been indexed yet.
        LibraryError: the system cannot watch any more folders.
        ModelMismatch, Interrupted: see `index_folders`.
    """
    with progress() as show:
        report = index_folders(library, encoder, [], show, read_pictures=None)
    on_run(report)
    waiting: set[bytes] = set()
    reading = _Reading(library, encoder, on_run, progress, on_error, read_pictures)
    with interruption() as interrupt, closing(reading):
        while not interrupt.requested:
            online, begun = _online(library), False
            for changed in _changes(online, lambda: interrupt.requested):
                waiting |= _roots_of(changed, online, library.folder)
                if not begun:  # changes before this point may have been missed
                    waiting |= online
                came_or_went = online ^ _online(library)
                waiting |= came_or_went
                waiting |= changed_texts(library)
                if waiting:
                    reading.close()
                    if _run(library, encoder, waiting, on_run, progress):
                        waiting.clear()
                if not begun:
                    begun = True
                    on_watching(len(online))
                if came_or_went:
                    break
                if not waiting:
                    reading.resume(lambda: interrupt.requested)


class _Reading:
    """Reads the text in pictures, for a few seconds at a time."""

    def __init__(
        self,
        library: Library,
        encoder: Encoder,
        on_run: Callable[[IndexReport], None],
        progress: Callable[[], AbstractContextManager[ProgressCallback]],
        on_error: Callable[[PixsearchError], None],
        read_pictures: ReadPictures,
    ) -> None:
        self._library = library
        self._encoder = encoder
        self._on_run = on_run
        self._progress = progress
        self._on_error = on_error
        self._read_pictures = read_pictures
        self._report = IndexReport()
        self._steps: Iterator[None] | None = None
        self._is_done = False
        self._open = ExitStack()

    def resume(self, stop: Callable[[], bool]) -> None:
        """Read for a few seconds, unless everything has been read since the last `close`."""
        if self._is_done:
            return
        until = time.monotonic() + POLL_MS / 1000
        try:
            if self._steps is None:
                show = self._open.enter_context(self._progress())
                steps = read_writing(self._library, self._encoder, self._report, None, show, read=self._read_pictures)
                self._steps = self._open.enter_context(closing(steps))
            for _ in self._steps:
                if time.monotonic() >= until or stop():
                    return
        except LibraryError:
            raise
        except PixsearchError as error:
            self.close()
            self._on_error(error)
        self.close()
        self._is_done = True

    def close(self) -> None:
        """Stop reading and report the result. The next `resume` starts again with the newest pictures."""
        self._open.close()
        self._steps, self._is_done = None, False
        report, self._report = self._report, IndexReport()
        if report.read or report.unread:
            self._on_run(report)


def _run(
    library: Library,
    encoder: Encoder,
    paths: Iterable[bytes],
    on_run: Callable[[IndexReport], None],
    progress: Callable[[], AbstractContextManager[ProgressCallback]],
) -> bool:
    """Bring folders and texts up to date. Return False if the caller must retry because another process is writing."""
    try:
        with progress() as show:
            paths_of_run = [to_path(path) for path in sorted(paths)]
            report = index_folders(library, encoder, paths_of_run, show, read_pictures=None)
    except LibraryBusy:
        return False
    on_run(report)
    return True


def _online(library: Library) -> set[bytes]:
    """Return the roots that exist and are not empty. An unplugged drive often leaves an empty folder."""
    return {root for root in library.roots() if _has_entries(root)}


def _has_entries(folder: bytes) -> bool:
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def _changes(roots: set[bytes], stop: Callable[[], bool]) -> Iterable[set[tuple[watchfiles.Change, str]]]:
    """Yield each burst of changes below these folders, until `stop` returns True.

    At intervals without changes, yield an empty set.
    """
    try:
        yield from watchfiles.watch(
            *(os.fsdecode(root) for root in sorted(roots)),
            watch_filter=None,
            debounce=BURST_MS,
            step=QUIET_MS,
            rust_timeout=POLL_MS,
            yield_on_timeout=True,
            stop_event=SimpleNamespace(is_set=stop),
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
    except OSError as error:
        raise LibraryError(
            f"the system cannot watch any more folders: {error}",
            "Raise fs.inotify.max_user_watches, or set WATCHFILES_FORCE_POLLING=1",
        ) from error


def _roots_of(changed: Iterable[tuple[watchfiles.Change, str]], roots: set[bytes], library: Path) -> set[bytes]:
    """Return the roots that contain a changed path, ignoring the library's own files."""
    own = os.fsencode(library)
    paths = [path for _, name in changed if not is_at_or_below(path := os.fsencode(name), own)]
    return {root for root in roots for path in paths if is_at_or_below(path, root)}

"""Find out what a run would do. Folders are listed, but nothing is decoded, encoded or written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pixsearch.library.library import Library
from pixsearch.library.records import ScanRules
from pixsearch.paths import is_at_or_below
from pixsearch.storage import FilePath, to_path
from pixsearch_indexer.changes import Change, Counts, Gone, compare
from pixsearch_indexer.roots import chosen_folders
from pixsearch_indexer.scan import Scan


class FolderSurvey(NamedTuple):
    """The differences between a folder and its last state in the library."""

    counts: Counts
    changed: int
    gone: int
    kept: int
    """The number of known photos in a folder that does not exist or has no pictures. They are kept because an unplugged
    drive often leaves an empty folder."""


@dataclass(slots=True)
class Survey:
    """The numbers of files that a run would find and process."""

    found: int = 0
    unchanged: int = 0
    to_read: int = 0
    """New or changed files. Only reading them shows which ones must be encoded."""
    to_forget: int = 0
    failed: int = 0
    """Files that failed in an earlier run and have not changed, and paths that cannot be read now."""
    kept: int = 0
    """Photos in offline folders."""
    offline: tuple[FilePath, ...] = ()
    not_read: dict[str, int] = field(default_factory=dict)
    """The number of files that are not pictures, by suffix."""


def survey(library: Library | None, folders: Sequence[FilePath], new_rules: Callable[[ScanRules], ScanRules]) -> Survey:
    """Survey these folders, or all indexed folders if none are given. Without a library, all files are new.

    Raises UsageError or PixsearchError if a folder cannot be indexed; see `index_folders`.
    """
    total = Survey()
    roots = {} if library is None else library.roots()
    for folder in chosen_folders(folders, library):
        root = next((root for root in roots if is_at_or_below(folder, root)), folder)
        scan = Scan(folder, root, new_rules(roots.get(root, ScanRules())))
        found = survey_folder(library, scan)
        if found.kept:
            total.offline += (to_path(folder),)
            total.kept += found.kept
            continue
        total.found += found.counts.found
        total.unchanged += found.counts.unchanged
        total.failed += found.counts.failed + len(scan.unlisted)
        total.to_read += found.changed
        total.to_forget += found.gone
        add_counts(total.not_read, found.counts.not_read)
    return total


def add_counts(total: dict[str, int], more: Mapping[str, int]) -> None:
    """Add each count to the total with the same name."""
    for name, count in more.items():
        total[name] = total.get(name, 0) + count


def survey_folder(
    library: Library | None,
    scan: Scan,
    on_files: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> FolderSurvey:
    """Walk through a folder and count its changes. Stop early if `stop` returns True."""
    counts, changed, gone = Counts(), 0, 0
    for step in changes(library, scan, counts, on_files):
        if isinstance(step, Gone):
            gone += 1
        else:
            changed += 1
        if stop():
            break
    kept = 0 if library is None or counts.found else sum(map(len, library.known_photos(scan.folder)))
    return FolderSurvey(counts, changed, gone, kept)


def changes(
    library: Library | None, scan: Scan, counts: Counts, on_files: Callable[[int], None] = lambda _: None
) -> Iterator[Change]:
    """Yield the changes in a scanned folder since its last run."""
    if library is None:
        return compare(scan, iter(()), iter(()), counts, on_files)
    photos, failures = library.known_photos(scan.folder), library.known_failures(scan.folder)
    return compare(scan, photos, failures, counts, on_files)

"""Which picture files there are below a folder. Nothing is decoded, nothing is remembered, nothing is written."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from typing import NamedTuple

from pixsearch.errors import UsageError
from pixsearch.library.records import FileFacts, ScanRules
from pixsearch.paths import is_at_or_below
from pixsearch.picture_files import is_named_like_a_picture
from pixsearch.storage import Entry, FileStamp, is_remote, list_folder, time_kept
from pixsearch_indexer.ignoring import Ignoring
from pixsearch_indexer.metadata.sidecars import Sidecar, Sidecars, is_named_like_a_sidecar, sidecars_stamp

SYSTEM_FOLDERS = frozenset(
    {b"@eaDir", b"#recycle", b"@Recycle", b"$RECYCLE.BIN", b"System Volume Information", b"lost+found", b"__MACOSX"}
    | {b"@__thumb"}  # of QNAP, as @eaDir is of Synology; .thumbnails is hidden anyway
)
_APPLE_DOUBLE = b"._"  # what macOS writes beside each file on a foreign drive; never a picture, whatever it is called

_DERIVED = (
    (re.compile(rb"\.photoslibrary$", re.IGNORECASE), re.compile(rb"(resources|database|private|scopes|external)$")),
    (
        re.compile(rb"\.(photolibrary|aplibrary|migratedphotolibrary)$", re.IGNORECASE),
        re.compile(rb"(Thumbnails|Previews)$"),
    ),
    (re.compile(rb"(^CaptureOne|\.cocatalog|\.cosessiondb)$", re.IGNORECASE), re.compile(rb"Cache$", re.IGNORECASE)),
    (re.compile(rb""), re.compile(rb".*\.lrdata$", re.IGNORECASE)),
)
"""By the name of the folder that it is in, the folders in which photo programs keep smaller copies of its photos: Apple
Photos, iPhoto and Aperture, Capture One, Lightroom."""

NamedEntry = tuple[bytes, "Entry | FileFacts"]
"""Facts where the listing says that it is a regular file: its entry would hold on to much more."""

_SIDECAR_ENDS = b"pPnN"
"""The last letters of what `is_named_like_a_sidecar` looks for, which cost less to look at."""


class _Listing(NamedTuple):
    """What a folder holds, what is ignored in it, and by the name of a photo the stamp of what lies beside it."""

    entries: Iterator[NamedEntry]
    ignoring: Ignoring
    beside: Mapping[bytes, bytes]


def is_derived(folder: bytes, name: bytes) -> bool:
    """Whether a folder of this name, in that one, holds what a photo program made of the photos beside it."""
    outer = os.path.basename(folder.rstrip(b"/"))  # noqa: PTH119 - bytes
    return any(outside.search(outer) and inside.match(name) for outside, inside in _DERIVED)


@dataclass(slots=True)
class Scan:
    """A walk through a folder: iterate to walk. What it could not look at is in `unlisted` as soon as it was passed.

    Files that may be pictures come as lists of what stands side by side, in the order of their paths as bytes, so that
    two sorted streams can be compared without keeping either.
    Links are not followed unless the rules say so; then each folder and each file outside of this one is met once,
    and a link into this one not at all, since the walk meets what it leads to anyway.
    """

    folder: bytes
    root: bytes
    """The folder itself, or one above it, at which the rules begin."""
    rules: ScanRules
    unlisted: dict[bytes, str] = field(default_factory=dict)
    """Folders mostly, with the reason. Nothing is known of what lies at or below them."""
    _met: set[tuple[int, int]] = field(default_factory=set)
    """Device and inode of what was met, where links are followed."""

    def __iter__(self) -> Iterator[list[FileFacts]]:
        self.unlisted.clear()
        self._met.clear()
        # A stack, not recursion: folders can be nested deeper than Python's calls.
        try:
            above = self._ignored_above()
        except UsageError as error:
            self.unlisted[self.folder] = f"folder skipped: {error.message}"
            return
        folders = [self._entries(self.folder, above)]
        while folders:
            entries, ignoring, beside = folders[-1]
            ignores = bool(ignoring)
            files: list[FileFacts] = []
            for name, entry in entries:
                if isinstance(entry, tuple):
                    if not (ignores and ignoring.matches(entry[0], False)):
                        files.append(entry)
                    continue
                is_folder = name.endswith(b"/")
                if ignores and ignoring.matches(entry.path, is_folder):
                    continue
                if is_folder:
                    folders.append(self._entries(entry.path, ignoring))
                    break
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    continue  # gone since the listing
                except OSError as error:
                    self.unlisted[entry.path] = _reason("cannot be looked at", error)
                    continue
                if stat.S_ISREG(found.st_mode) or is_named_like_a_picture(name):
                    files.append((entry.path, found.st_size, time_kept(found.st_mtime_ns), beside.get(name)))
            else:
                folders.pop()
            if files:
                yield files

    def is_gone(self, path: bytes) -> bool:
        """Whether a path that was not met is certainly there no more: the folder that it was in was listed."""
        while path not in self.unlisted:
            if path == self.folder:
                return True
            path = os.path.dirname(path)  # noqa: PTH120 - a Path cannot be made of bytes
        return False

    def _ignored_above(self) -> Ignoring:
        """What is ignored where the walk begins."""
        ignoring = Ignoring.of_root(self.root, self.rules.exclude)
        above = self.root
        for name in self.folder[len(self.root) :].split(b"/"):
            if name:
                ignoring = ignoring.with_rules_of(above)
            above = os.path.join(above, name)  # noqa: PTH118 - bytes
        return ignoring

    def _entries(self, folder: bytes, ignoring: Ignoring) -> _Listing:
        """What is in a folder, by name, folders with a slash behind theirs; and what is ignored from here on."""
        entries: list[NamedEntry] = []
        try:
            with list_folder(folder) as listing:
                # Of links to one file, the first is followed.
                for entry in sorted(listing, key=attrgetter("name")) if self._follows_links else listing:
                    name = entry.name
                    if name.startswith(b".") or name in SYSTEM_FOLDERS:
                        if name == Ignoring.FILE:
                            ignoring = ignoring.with_rules_of(folder)
                        if not self.rules.hidden or name.startswith(_APPLE_DOUBLE):
                            continue
                    if isinstance(entry, os.DirEntry):
                        if entry.is_file(follow_symlinks=False):
                            entries.append((name, _facts(entry)))
                            continue
                        if entry.is_symlink() and not self._leads_on(entry):
                            continue
                    is_folder = entry.is_dir()
                    if is_folder and not self.rules.hidden and is_derived(folder, name):
                        continue
                    entries.append((name + b"/" if is_folder else name, entry))
            if self._follows_links and not self._is_new(os.stat(folder)):  # noqa: PTH116 - a Path cannot be made of bytes
                return _Listing(iter(()), ignoring, {})
        except OSError as error:
            self.unlisted[folder] = _reason("folder cannot be listed", error)
            return _Listing(iter(()), ignoring, {})
        except UsageError as error:
            self.unlisted[folder] = f"folder skipped: {error.message}"
            return _Listing(iter(()), ignoring, {})
        entries.sort(key=itemgetter(0))
        entries, beside = _with_sidecars(entries, ignoring)
        return _Listing(iter(entries), ignoring, beside)

    def _leads_on(self, link: os.DirEntry[bytes]) -> bool:
        """Whether a link is to be followed."""
        if not self._follows_links:
            return False
        target = os.path.realpath(link.path)
        if is_at_or_below(target, self.folder):
            return False
        try:
            found = link.stat()
        except OSError:
            return False  # leads nowhere, or in a circle
        return stat.S_ISDIR(found.st_mode) or self._is_new(found)

    @property
    def _follows_links(self) -> bool:
        return self.rules.follow_links and not is_remote(self.folder)  # no object is a link

    def _is_new(self, found: os.stat_result) -> bool:
        identity = found.st_dev, found.st_ino
        if identity in self._met:
            return False
        self._met.add(identity)
        return True


def _with_sidecars(entries: list[NamedEntry], ignoring: Ignoring) -> tuple[list[NamedEntry], dict[bytes, bytes]]:
    """Take out the files that say something about a photo beside them."""
    files = []
    for name, entry in entries:
        if name[-1] not in _SIDECAR_ENDS or not is_named_like_a_sidecar(name):
            continue
        facts = entry if isinstance(entry, tuple) else _facts(entry)
        if isinstance(facts, tuple) and not (ignoring and ignoring.matches(facts[0], False)):
            files.append(Sidecar(facts[0], FileStamp(facts[1], facts[2])))
    if not files:
        return entries, {}
    sidecars, beside, used = Sidecars(files), dict[bytes, bytes](), set[bytes]()
    for name, _ in entries:
        if not name.endswith(b"/") and not is_named_like_a_sidecar(name) and (found_beside := sidecars.of(name)):
            beside[name] = sidecars_stamp(found_beside) or b""
            used.update(sidecar.path for sidecar in found_beside)
    return [
        (name, (*entry[:3], beside.get(name)) if isinstance(entry, tuple) else entry)
        for name, entry in entries
        if (entry[0] if isinstance(entry, tuple) else entry.path) not in used
    ], beside


def _facts(entry: Entry) -> Entry | FileFacts:
    """What there is to know of a regular file; the entry itself of anything else, and where it cannot be looked at."""
    try:
        found = entry.stat()
    except OSError:
        return entry
    return (entry.path, found.st_size, time_kept(found.st_mtime_ns), None) if stat.S_ISREG(found.st_mode) else entry


def _reason(what: str, error: OSError) -> str:
    return f"{what}: {error.strerror}"

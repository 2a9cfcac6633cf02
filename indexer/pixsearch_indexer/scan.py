"""Find the picture files below a folder. Nothing is decoded, cached or written."""

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
from pixsearch_indexer.ignoring import IgnoreRules
from pixsearch_indexer.metadata.sidecars import Sidecar, Sidecars, is_named_like_a_sidecar, sidecars_stamp

SYSTEM_FOLDERS = frozenset(
    {b"@eaDir", b"#recycle", b"@Recycle", b"$RECYCLE.BIN", b"System Volume Information", b"lost+found", b"__MACOSX"}
    | {b"@__thumb"}  # on QNAP, like @eaDir on Synology; .thumbnails is hidden anyway
)
_APPLE_DOUBLE = b"._"  # macOS writes these next to each file on foreign file systems; never pictures

_DERIVED = (
    (re.compile(rb"\.photoslibrary$", re.IGNORECASE), re.compile(rb"(resources|database|private|scopes|external)$")),
    (
        re.compile(rb"\.(photolibrary|aplibrary|migratedphotolibrary)$", re.IGNORECASE),
        re.compile(rb"(Thumbnails|Previews)$"),
    ),
    (re.compile(rb"(^CaptureOne|\.cocatalog|\.cosessiondb)$", re.IGNORECASE), re.compile(rb"Cache$", re.IGNORECASE)),
    (re.compile(rb""), re.compile(rb".*\.lrdata$", re.IGNORECASE)),
)
"""Patterns for folders in which photo programs (Apple Photos, iPhoto, Aperture, Capture One, Lightroom) keep smaller
copies of photos. Each pair matches the name of the outer folder and the name of the folder itself."""

NamedEntry = tuple[bytes, "Entry | FileFacts"]
"""A name and its directory entry, or FileFacts for regular files, because entries take much more memory."""

_SIDECAR_ENDS = b"pPnN"
"""The last letters of sidecar names, which are cheaper to check than `is_named_like_a_sidecar`."""


class _Listing(NamedTuple):
    """The entries of a folder, the ignore rules that apply in it, and the sidecar stamps by photo name."""

    entries: Iterator[NamedEntry]
    ignored: IgnoreRules
    sidecars: Mapping[bytes, bytes]


def is_derived(folder: bytes, name: bytes) -> bool:
    """Return whether the folder `name` inside `folder` contains copies of photos made by a photo program."""
    outer = os.path.basename(folder.rstrip(b"/"))  # noqa: PTH119 - bytes
    return any(outside.search(outer) and inside.match(name) for outside, inside in _DERIVED)


@dataclass(slots=True)
class Scan:
    """An iterable over the files below a folder that may be pictures.

    Iterating walks through the folder and yields lists of consecutive files, sorted by path as bytes. Two such streams
    can be compared without holding either in memory. Paths that cannot be read are collected in `unlisted`.

    Links are followed only if the rules allow it. In that case, each file and folder outside the scanned folder is
    visited once, and links to paths inside it are skipped because the walk visits those anyway.
    """

    folder: bytes
    root: bytes
    """The folder that the rules belong to: the scanned folder itself or one above it."""
    rules: ScanRules
    unlisted: dict[bytes, str] = field(default_factory=dict)
    """The paths that could not be read, mostly folders, with the reasons. Their contents are unknown."""
    _visited: set[tuple[int, int]] = field(default_factory=set)
    """The device and inode of each visited folder and linked file, if links are followed."""

    def __iter__(self) -> Iterator[list[FileFacts]]:
        self.unlisted.clear()
        self._visited.clear()
        # A stack rather than recursion: folders can be nested deeper than Python's recursion limit.
        try:
            above = self._ignored_above()
        except UsageError as error:
            self.unlisted[self.folder] = f"folder skipped: {error.message}"
            return
        folders = [self._entries(self.folder, above)]
        while folders:
            entries, ignored, beside = folders[-1]
            has_rules = bool(ignored)
            files: list[FileFacts] = []
            for name, entry in entries:
                if isinstance(entry, tuple):
                    if not (has_rules and ignored.matches(entry[0], False)):
                        files.append(entry)
                    continue
                is_folder = name.endswith(b"/")
                if has_rules and ignored.matches(entry.path, is_folder):
                    continue
                if is_folder:
                    folders.append(self._entries(entry.path, ignored))
                    break
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    continue  # deleted since the folder was listed
                except OSError as error:
                    self.unlisted[entry.path] = _reason("cannot be read", error)
                    continue
                if stat.S_ISREG(found.st_mode) or is_named_like_a_picture(name):
                    files.append((entry.path, found.st_size, time_kept(found.st_mtime_ns), beside.get(name)))
            else:
                folders.pop()
            if files:
                yield files

    def is_gone(self, path: bytes) -> bool:
        """Return whether a path that was not found is known to be deleted, because its folder could be listed."""
        while path not in self.unlisted:
            if path == self.folder:
                return True
            path = os.path.dirname(path)  # noqa: PTH120 - a Path cannot be made of bytes
        return False

    def _ignored_above(self) -> IgnoreRules:
        """Return the rules from the command line and from the folders above the scanned one."""
        ignored = IgnoreRules.of_root(self.root, self.rules.exclude)
        above = self.root
        for name in self.folder[len(self.root) :].split(b"/"):
            if name:
                ignored = ignored.with_rules_of(above)
            above = os.path.join(above, name)  # noqa: PTH118 - bytes
        return ignored

    def _entries(self, folder: bytes, ignored: IgnoreRules) -> _Listing:
        """List a folder, sorted by name with a slash after folder names, and add its own ignore rules."""
        entries: list[NamedEntry] = []
        try:
            with list_folder(folder) as listing:
                # If several links point to the same file, the first one by name is followed.
                for entry in sorted(listing, key=attrgetter("name")) if self._follows_links else listing:
                    name = entry.name
                    if name.startswith(b".") or name in SYSTEM_FOLDERS:
                        if name == IgnoreRules.FILE:
                            ignored = ignored.with_rules_of(folder)
                        if not self.rules.hidden or name.startswith(_APPLE_DOUBLE):
                            continue
                    if isinstance(entry, os.DirEntry):
                        if entry.is_file(follow_symlinks=False):
                            entries.append((name, _facts(entry)))
                            continue
                        if entry.is_symlink() and not self._should_follow(entry):
                            continue
                    is_folder = entry.is_dir()
                    if is_folder and not self.rules.hidden and is_derived(folder, name):
                        continue
                    entries.append((name + b"/" if is_folder else name, entry))
            if self._follows_links and not self._is_new(os.stat(folder)):  # noqa: PTH116 - a Path cannot be made of bytes
                return _Listing(iter(()), ignored, {})
        except OSError as error:
            self.unlisted[folder] = _reason("folder cannot be listed", error)
            return _Listing(iter(()), ignored, {})
        except UsageError as error:
            self.unlisted[folder] = f"folder skipped: {error.message}"
            return _Listing(iter(()), ignored, {})
        entries.sort(key=itemgetter(0))
        entries, beside = _with_sidecars(entries, ignored)
        return _Listing(iter(entries), ignored, beside)

    def _should_follow(self, link: os.DirEntry[bytes]) -> bool:
        if not self._follows_links:
            return False
        target = os.path.realpath(link.path)
        if is_at_or_below(target, self.folder):
            return False
        try:
            found = link.stat()
        except OSError:
            return False  # a dangling link, or a loop
        return stat.S_ISDIR(found.st_mode) or self._is_new(found)

    @property
    def _follows_links(self) -> bool:
        return self.rules.follow_links and not is_remote(self.folder)  # object storage has no links

    def _is_new(self, found: os.stat_result) -> bool:
        identity = found.st_dev, found.st_ino
        if identity in self._visited:
            return False
        self._visited.add(identity)
        return True


def _with_sidecars(entries: list[NamedEntry], ignored: IgnoreRules) -> tuple[list[NamedEntry], dict[bytes, bytes]]:
    """Return the entries without the sidecars of photos, and the sidecar stamps by photo name."""
    files = []
    for name, entry in entries:
        if name[-1] not in _SIDECAR_ENDS or not is_named_like_a_sidecar(name):
            continue
        facts = entry if isinstance(entry, tuple) else _facts(entry)
        if isinstance(facts, tuple) and not (ignored and ignored.matches(facts[0], False)):
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
    """Return the facts of a regular file, or the entry itself if it is something else or cannot be read."""
    try:
        found = entry.stat()
    except OSError:
        return entry
    return (entry.path, found.st_size, time_kept(found.st_mtime_ns), None) if stat.S_ISREG(found.st_mode) else entry


def _reason(what: str, error: OSError) -> str:
    return f"{what}: {error.strerror}"

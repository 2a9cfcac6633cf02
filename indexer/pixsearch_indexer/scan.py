"""Which picture files there are below a folder. Nothing is decoded, nothing is remembered, nothing is written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from pixsearch.library.records import FileStamp
from pixsearch.pictures import SIGNATURE_BYTES, has_picture_signature

PICTURE_SUFFIXES = tuple(
    b".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .heic .heif .hif .avif .jp2 .j2k .ppm .pgm .pnm".split()
)
"""A file with one of these that is no picture is a failure; one with any other name is just no picture."""

SYSTEM_FOLDERS = frozenset(
    {b"@eaDir", b"#recycle", b"@Recycle", b"$RECYCLE.BIN", b"System Volume Information", b"lost+found", b"__MACOSX"}
)


@dataclass(slots=True)
class Scan:
    """What was seen below a folder."""

    folder: bytes
    files: dict[bytes, FileStamp] = field(default_factory=dict)
    """The picture files by absolute path."""
    unlisted: dict[bytes, str] = field(default_factory=dict)
    """What could not be looked at, folders mostly, with the reason. Nothing is known of what lies at or below it."""

    def is_gone(self, path: bytes) -> bool:
        """Whether a file of an earlier scan is certainly there no more: its folder was listed, and it was not in it."""
        if path in self.files:
            return False
        while path not in self.unlisted:
            if path == self.folder:
                return True
            path = os.path.dirname(path)  # noqa: PTH120 - a Path cannot be made of bytes
        return False


def scan(folder: bytes, known: Collection[bytes], on_files: Callable[[int], None]) -> Scan:
    """List the picture files below a folder: those named like one, those that start like one, and those known as one.

    Hidden and system folders and hidden files are skipped, links are not followed. `on_files` hears after each folder
    how many there are so far.
    """
    seen = Scan(folder)
    folders = [folder]
    while folders:
        current = folders.pop()
        try:
            with os.scandir(current) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            seen.unlisted[current] = _reason("folder cannot be listed", error)
            continue
        for entry in entries:
            if entry.name.startswith(b".") or entry.name in SYSTEM_FOLDERS:
                continue
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif stamp := _picture_stamp(entry, known):
                    seen.files[entry.path] = stamp
            except FileNotFoundError:
                continue  # gone since the listing
            except OSError as error:
                seen.unlisted[entry.path] = _reason("cannot be looked at", error)
        on_files(len(seen.files))
    return seen


def _picture_stamp(entry: os.DirEntry[bytes], known: Collection[bytes]) -> FileStamp | None:
    """None for what is no picture file."""
    found = entry.stat(follow_symlinks=False)
    named_so = entry.name.lower().endswith(PICTURE_SUFFIXES)
    if stat.S_ISLNK(found.st_mode) or not (named_so or stat.S_ISREG(found.st_mode)):
        return None
    if named_so or entry.path in known or _starts_like_a_picture(entry.path):
        return FileStamp(found.st_size, found.st_mtime_ns)
    return None


def _starts_like_a_picture(path: bytes) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
            return has_picture_signature(file.read(SIGNATURE_BYTES))
    except OSError:
        return False  # nothing says that it is a picture


def _reason(what: str, error: OSError) -> str:
    return f"{what}: {error.strerror}"

"""Find the sidecars of a photo: `.xmp` files from other programs and `.json` files from Google Takeout.

How Takeout changes file names is not documented. The rules here follow the cases in simulot/immich-go
(adapters/googlePhotos/matchers.go) and TheLastGimbus/GooglePhotosTakeoutHelper.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pixsearch.storage import FileStamp

XMP, JSON = ".xmp", ".json"
LARGEST = 4 << 20
"""The maximum size of a sidecar in bytes. A larger file is not a sidecar."""

_TAKEOUT = ".supplemental-metadata"
_CUT = 46
"""The length to which Takeout truncates the names of photos and .json files, not counting the suffix. The unit is
characters, or bytes according to some sources."""
_NUMBERED = re.compile(r"(.+?)\((\d{1,4})\)")
_EDITED = (
    "-edited",
    "-effects",
    "-smile",
    "-mix",
    "-bearbeitet",
    "-modifié",
    "-editado",
    "-editada",
    "-modificato",
    "-bewerkt",
    "-edytowane",
    "-編集済み",
)
"""The suffixes that Google appends to the names of edited copies, in several languages."""

_Title = tuple[str, str]
"""The name of a photo, and the number that distinguishes it from others with the same name."""


class Sidecar(NamedTuple):
    """A file with metadata for a photo in the same folder."""

    path: bytes
    stamp: FileStamp


class Sidecars:
    """The sidecars in a folder, looked up by photo name, regardless of case and Unicode form."""

    def __init__(self, files: Iterable[Sidecar]) -> None:
        self._xmp: dict[str, Sidecar] = {}
        self._json: dict[_Title, Sidecar] = {}
        self._of_edited: dict[_Title, Sidecar] = {}
        """The sidecars by photo name without its suffix."""
        for file in files:
            stem, suffix = os.path.splitext(_folded(os.path.basename(file.path)))  # noqa: PTH119, PTH122 - bytes
            if suffix == XMP:
                self._xmp.setdefault(stem, file)
            elif suffix == JSON:
                for title, number in _titles(stem):
                    self._json.setdefault((title, number), file)
                    self._of_edited.setdefault((os.path.splitext(title)[0], number), file)  # noqa: PTH122 - no path

    def __bool__(self) -> bool:
        return bool(self._xmp or self._json)

    def of(self, photo: bytes) -> tuple[Sidecar, ...]:
        """Return the sidecars of the photo with this name, the most certain one first."""
        name = _folded(photo)
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - no path
        found = [self._xmp.get(name), self._xmp.get(stem), self._takeout(stem, suffix)]
        return tuple(dict.fromkeys(sidecar for sidecar in found if sidecar is not None))

    def _takeout(self, stem: str, suffix: str) -> Sidecar | None:
        originals = [(stem, "")]
        if (numbered := _NUMBERED.fullmatch(stem)) is not None:
            originals.insert(0, (numbered[1], numbered[2]))
        edited = [original for title in originals for original in _before_edit(*title)]
        for name, number in originals + edited:
            title = name + suffix
            for written in (title, title[:_CUT], os.fsdecode(os.fsencode(title)[:_CUT]), name):
                if (found := self._json.get((written, number))) is not None:
                    return found
        # An edited copy may have a different format, such as a JPEG made from a HEIC.
        return next((found for title in edited if (found := self._of_edited.get(title)) is not None), None)


def _before_edit(stem: str, number: str) -> list[_Title]:
    """Return the possible original names of an edited copy. In long names, `-edited` may be truncated."""
    is_cut = len(os.fsencode(stem)) >= _CUT
    found = []
    for edited in _EDITED:
        for length in range(len(edited), 0 if is_cut else len(edited) - 1, -1):
            if stem.endswith(edited[:length]) and len(stem) > length:
                original = stem[:-length]
                found.append((original, number))
                if not number and (numbered := _NUMBERED.fullmatch(original)) is not None:
                    found.append((numbered[1], numbered[2]))
    return found


def is_named_like_a_sidecar(path: bytes) -> bool:
    """Return whether a file may be a sidecar, judging by its name. It is one only if its photo exists."""
    return path[-5:].lower().endswith((b".xmp", b".json"))


def sidecars_stamp(sidecars: Sequence[Sidecar]) -> bytes | None:
    """Return a stamp that changes whenever these sidecars do, or None if there are no sidecars."""
    if not sidecars:
        return None
    return b"\0".join(
        b"%d %d %s" % (*sidecar.stamp, os.path.basename(sidecar.path))  # noqa: PTH119 - bytes
        for sidecar in sidecars
    )


def sidecars_of_stamp(photo: bytes, stamp: bytes | None) -> tuple[Sidecar, ...]:
    """Return the sidecars from which a photo's sidecar stamp was made."""
    if stamp is None:
        return ()
    folder = os.path.dirname(photo)  # noqa: PTH120 - bytes
    parts = (one.split(b" ", 2) for one in stamp.split(b"\0"))
    return tuple(
        Sidecar(os.path.join(folder, name), FileStamp(int(size), int(mtime)))  # noqa: PTH118 - bytes
        for size, mtime, name in parts
    )


def _titles(stem: str) -> list[_Title]:
    """Return the numbered titles that a .json file may belong to. Takeout adds a suffix and may truncate it."""
    number = ""
    if (numbered := _NUMBERED.fullmatch(stem)) is not None:
        stem, number = numbered.groups()
    titles = [(stem, number)]
    for length in range(1, len(_TAKEOUT) + 1):
        if stem.endswith(_TAKEOUT[:length]) and stem != _TAKEOUT[:length]:
            titles.append((stem[:-length], number))
    if number:
        titles.append((f"{stem}({number})", ""))
    return titles


def _folded(name: bytes) -> str:
    """Return a name in lower case (not only ASCII) and in Unicode NFC, because macOS decomposes accented letters."""
    return unicodedata.normalize("NFC", os.fsdecode(name)).lower()

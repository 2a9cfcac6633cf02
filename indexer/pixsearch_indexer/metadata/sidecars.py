"""Which file beside a photo says something about it: `.xmp` of other programs, and Google Takeout's `.json`.

What Takeout does to names is written down nowhere; it was read off the cases in simulot/immich-go
(adapters/googlePhotos/matchers.go) and TheLastGimbus/GooglePhotosTakeoutHelper.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pixsearch.storage import FileStamp

XMP, JSON = b".xmp", b".json"
LARGEST = 4 << 20
"""Bytes of a sidecar that are read; a larger one is something else."""

_TAKEOUT = b".supplemental-metadata"
_CUT = 46
"""Characters that Takeout leaves of a name before .json; bytes here, which differ where the name is not ASCII."""
_NUMBERED = re.compile(rb"(.+?)\((\d{1,4})\)")
_EDITED = (
    b"-edited",
    b"-effects",
    b"-smile",
    b"-mix",
    b"-bearbeitet",
    "-modifié".encode(),
    b"-editado",
    b"-editada",
    b"-modificato",
    b"-bewerkt",
    b"-edytowane",
    "-編集済み".encode(),
)
"""What Google appends to the name of a copy that was edited, in some of its languages."""


class Sidecar(NamedTuple):
    """A file that says something about a photo beside it."""

    path: bytes
    stamp: FileStamp


class Sidecars:
    """The sidecars of one folder, looked up by a photo's name. Upper and lower case are one."""

    def __init__(self, files: Iterable[Sidecar]) -> None:
        self._xmp: dict[bytes, Sidecar] = {}
        self._json: dict[tuple[bytes, bytes], Sidecar] = {}
        for file in files:
            name = _lower(os.path.basename(file.path))  # noqa: PTH119 - bytes
            stem, suffix = name[: name.rfind(b".")], name[name.rfind(b".") :]
            if suffix == XMP:
                self._xmp.setdefault(stem, file)
            elif suffix == JSON:
                for title in _titles(stem):
                    self._json.setdefault(title, file)

    def __bool__(self) -> bool:
        return bool(self._xmp or self._json)

    def of(self, photo: bytes) -> tuple[Sidecar, ...]:
        """Return those of a photo, by its name: first the one that is most certainly its own."""
        name = _lower(photo)
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - bytes
        found = [self._xmp.get(name), self._xmp.get(stem), self._takeout(stem, suffix)]
        return tuple(dict.fromkeys(sidecar for sidecar in found if sidecar is not None))

    def _takeout(self, stem: bytes, suffix: bytes) -> Sidecar | None:
        number = b""
        if (numbered := _NUMBERED.fullmatch(stem)) is not None:
            stem, number = numbered.groups()
        originals = [stem[: -len(edited)] for edited in map(_lower, _EDITED) if stem.endswith(edited)]
        for original in (stem, *originals):
            title = original + suffix
            for name in (title, title[:_CUT], original):
                if (found := self._json.get((name, number))) is not None:
                    return found
        # A photo that was numbered by somebody else: photo(1).jpg and photo(1).jpg.json.
        return self._json.get((stem + b"(" + number + b")" + suffix, b"")) if number else None


def is_named_like_a_sidecar(path: bytes) -> bool:
    """Whether a file may be one; only a photo beside it makes it one."""
    return path[-5:].lower().endswith((XMP, JSON))


def sidecars_stamp(sidecars: Sequence[Sidecar]) -> bytes | None:
    """Return what tells cheaply that these are the same and have not changed; None without any."""
    if not sidecars:
        return None
    return b"\0".join(
        b"%d %d %s" % (*sidecar.stamp, os.path.basename(sidecar.path))  # noqa: PTH119 - bytes
        for sidecar in sidecars
    )


def sidecars_of_stamp(photo: bytes, stamp: bytes | None) -> tuple[Sidecar, ...]:
    """Return the sidecars of a photo that a stamp was made of."""
    if stamp is None:
        return ()
    folder = os.path.dirname(photo)  # noqa: PTH120 - bytes
    parts = (one.split(b" ", 2) for one in stamp.split(b"\0"))
    return tuple(
        Sidecar(os.path.join(folder, name), FileStamp(int(size), int(mtime)))  # noqa: PTH118 - bytes
        for size, mtime, name in parts
    )


def _titles(stem: bytes) -> list[tuple[bytes, bytes]]:
    """The titles, with their numbers, that a .json may stand for: Takeout appends a suffix and cuts its end."""
    number = b""
    if (numbered := _NUMBERED.fullmatch(stem)) is not None:
        stem, number = numbered.groups()
    titles = [(stem, number)]
    for length in range(1, len(_TAKEOUT) + 1):
        if stem.endswith(_TAKEOUT[:length]) and stem != _TAKEOUT[:length]:
            titles.append((stem[:-length], number))
    if number:
        titles.append((stem + b"(" + number + b")", b""))
    return titles


def _lower(name: bytes) -> bytes:
    """In lower case, also beyond ASCII."""
    return os.fsencode(os.fsdecode(name).lower())

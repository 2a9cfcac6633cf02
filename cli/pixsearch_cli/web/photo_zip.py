"""Photos as one zip, piece by piece: what is sent is read when it is sent, and nothing is kept of it.

The standard library writes it: to what cannot be rewound it puts sizes and checksums behind each file. Photos are
stored as they are, for they do not compress.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from zipfile import ZipFile, ZipInfo

from pixsearch import Library
from pixsearch.errors import PictureError
from pixsearch.library.photo_files import OpenFile, open_first
from pixsearch.library.records import StoredPhoto
from pixsearch.printable import printable
from pixsearch_cli.web.zip_names import ZipNames

MISSING = "missing.txt"
PIECE_BYTES = 256 << 10
_LOOKED_UP = 100
"""Pictures in one read of the library."""
_MODE = 0o644
_FIRST_YEAR, _LAST_YEAR = 1980, 2107


def zip_of(library: Library, ids: Sequence[int]) -> Generator[bytes, None, None]:
    """Yield a zip of the photos with these ids. What there is no photo of, or no more, is named in MISSING. A piece may
    be empty.

    Raises PictureError where a file can no longer be read to its end, after which the zip has no directory and opens
    nowhere; LibraryError.
    """
    out = _Pieces()
    names = ZipNames([MISSING])
    missing: list[str] = []
    with ZipFile(out, "w") as archive:
        for first in range(0, len(ids), _LOOKED_UP):
            part = ids[first : first + _LOOKED_UP]
            pictures = library.pictures(part)
            for content_id in part:
                if (picture := pictures.get(content_id)) is None:
                    missing.append(f"{content_id}: the library has no photo with this id")
                    continue
                try:
                    photo, file = open_first(picture.photos, picture.digest)
                except PictureError as error:
                    missing.append(f"{printable(str(picture.photos[0].path))}: {error}")
                    continue
                with file, archive.open(_entry(names.name(photo.path.name), photo), "w") as entry:
                    for piece in _whole(file, photo):
                        entry.write(piece)
                        if out.size >= PIECE_BYTES:
                            yield out.take()
            yield out.take()
        if missing:
            archive.writestr(_info(MISSING, time.localtime()[:6]), "".join(f"{line}\n" for line in missing))
    yield out.take()


class _Pieces:
    """A file that cannot be rewound: what is written to it is taken out of it."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered between this generator and the client."""

    close = flush

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        self.size = 0
        return taken


def _whole(file: OpenFile, photo: StoredPhoto) -> Iterator[bytes]:
    """Yield what was indexed of a file. Raises PictureError where it has become shorter."""
    left = photo.stamp.size_bytes
    while left:
        try:
            piece = file.read(min(left, PIECE_BYTES))
        except OSError as error:
            raise PictureError(f"{photo.path}: cannot be read: {error.strerror}") from error
        if not piece:
            raise PictureError(f"{photo.path}: was truncated while being sent")
        left -= len(piece)
        yield piece


def _entry(name: str, photo: StoredPhoto) -> ZipInfo:
    """Return a zip's record of a photo, with the time at which it was taken by the camera's clock, else its file's."""
    taken_at = photo.metadata.taken_at
    moment = time.localtime(max(0, photo.stamp.mtime_ns // 10**9)) if taken_at is None else taken_at.timetuple()
    entry = _info(name, moment[:6])
    entry.file_size = photo.stamp.size_bytes
    return entry


def _info(name: str, moment: tuple[int, int, int, int, int, int]) -> ZipInfo:
    if moment[0] < _FIRST_YEAR:
        moment = (_FIRST_YEAR, 1, 1, 0, 0, 0)
    elif moment[0] > _LAST_YEAR:
        moment = (_LAST_YEAR, 12, 31, 23, 59, 58)
    info = ZipInfo(name, moment)
    info.external_attr = _MODE << 16
    return info

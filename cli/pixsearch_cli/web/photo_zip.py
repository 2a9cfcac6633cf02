"""Streams photos as one zip. Files are read while they are sent, and nothing is kept.

The zip is written by the standard library, which puts sizes and checksums after each file if the output is not
seekable. Photos are stored uncompressed, because they do not get smaller.
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
"""The number of pictures to look up in the library at once."""
_MODE = 0o644
_FIRST_YEAR, _LAST_YEAR = 1980, 2107


def zip_of(library: Library, ids: Sequence[int]) -> Generator[bytes, None, None]:
    """Yield a zip with these photos in pieces, which may be empty. Its file MISSING lists the missing photos, if any.

    Raises LibraryError, and PictureError if a file cannot be read to its end. The zip is then incomplete: it has no
    directory, and no program can open it.
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
    """A file object that is not seekable and collects the written bytes until they are taken."""

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is no other buffer."""

    close = flush

    def take(self) -> bytes:
        taken = b"".join(self._written)
        self._written.clear()
        self.size = 0
        return taken


def _whole(file: OpenFile, photo: StoredPhoto) -> Iterator[bytes]:
    """Yield the contents of a file up to its indexed size. Raises PictureError if it has become shorter."""
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
    """Return the zip entry of a photo, with the time when it was taken or, if unknown, its modification time."""
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

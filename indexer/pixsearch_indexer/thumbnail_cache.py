"""Thumbnails in the user's cache folder: runs put the small ones in, the server reads them and adds the rest."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pixsearch.disk_cache import DiskCache
from pixsearch.durable import write_durably
from pixsearch.errors import PixsearchError
from pixsearch.regular_files import read_regular
from pixsearch.settings import cache_folder

SMALL, LARGE = 320, 1080
"""What the shorter edge of a thumbnail has in pixels, about; see `pixsearch_indexer.thumbnails`."""

SMALL_BYTES = 48 << 10
"""Room for a small thumbnail: 1.4 times the mean, for libraries with more detail.

The mean is 35,000 bytes, p95 62,100, of the 199 photos of an album: `pixsearch index album/images`, then
`find ~/.cache/pixsearch/thumbnails -type f -printf "%s\\n"`.
"""
ROOM_BYTES = 512 << 20
"""For large thumbnails, and for small ones beside those of the libraries in use."""

_DAY_S = 24 * 60 * 60
_IN_USE_S = 90 * _DAY_S
_LONGEST_CLAIM_BYTES = 20


def limit_of_small(pictures: int) -> int:
    """Return how many bytes the small thumbnails may take, for so many pictures in all libraries in use."""
    return ROOM_BYTES + pictures * SMALL_BYTES


class ThumbnailCache:
    """Thumbnails by the digest of a photo's content and by their edge, shared by all libraries of a user.

    There is room for the small thumbnails of every library to which a run has added photos, or whose server was
    started, within the last 90 days. Each has a file that says how many pictures it has, and whoever makes room leaves
    it to all of them: the server of a small library deletes nothing that a large one needs. Beyond that those go that
    were not looked at for longest. A deleted library keeps its room until then. Large thumbnails have their own.

    Not guaranteed: that any is there (see `DiskCache`), nor room for small ones that take more than `SMALL_BYTES` on
    average. The thumbnail of a photo that is gone stays until room is made.
    """

    def __init__(self, folder: Path, library: str, count_pictures: Callable[[], int]) -> None:
        """`count_pictures` says how many the library has, or is about to have; it may raise PixsearchError.

        Args:
            folder: the cache folder.
            library: the library's name, which no other library has.
        """
        self._claims = folder / "thumbnail-claims"
        self._own_claim = self._claims / hashlib.sha256(os.fsencode(library)).hexdigest()
        self._count_pictures = count_pictures
        self._kept = {
            SMALL: DiskCache(folder / "thumbnails", self._limit_of_small),
            LARGE: DiskCache(folder / "large-thumbnails", lambda: ROOM_BYTES),
        }

    def get(self, digest: bytes, edge: int) -> bytes | None:
        """A JPEG; None where it is not there, or not whole."""
        return self._kept[edge].get(_name(digest, edge))

    def put(self, digest: bytes, edge: int, jpeg: bytes) -> None:
        """Keep a thumbnail, where that is possible."""
        with suppress(PixsearchError):  # it is not known how much room is needed: nothing is deleted this time
            self._kept[edge].put(_name(digest, edge), jpeg)

    def claim_room(self) -> int:
        """Let every process know how many pictures the library has, and return the number. Raises PixsearchError.

        Within a day the number only grows: a run claims room in advance, and a server that counts the current
        pictures does not lower the claim.
        """
        pictures, claimed = self._count_pictures(), _claimed(self._own_claim, _DAY_S)
        if pictures > claimed:
            with suppress(OSError):
                self._claims.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_durably(self._own_claim, b"%d" % pictures, mode=0o600)
        return max(pictures, claimed)

    def _limit_of_small(self) -> int:
        pictures = self.claim_room()
        with suppress(OSError):
            others = (file for file in self._claims.iterdir() if file != self._own_claim)
            pictures += sum(_claimed(file, _IN_USE_S) for file in others)
        return limit_of_small(pictures)


def thumbnails_of_user(library: str, count_pictures: Callable[[], int]) -> ThumbnailCache | None:
    """The thumbnails in the user's cache folder; None where there is no home for it. See `ThumbnailCache`."""
    try:
        return ThumbnailCache(cache_folder(), library, count_pictures)
    except PixsearchError:
        return None


def _name(digest: bytes, edge: int) -> str:
    return f"{digest.hex()}-{edge}.jpg"


def _claimed(file: Path, newest_s: float) -> int:
    """How many pictures a library claims room for; 0 where it did so longer ago, or where the file is damaged."""
    try:
        claim = read_regular(file, _LONGEST_CLAIM_BYTES)
        is_fresh = time.time() - file.stat().st_mtime < newest_s
    except OSError:
        return 0
    return int(claim) if is_fresh and not file.suffix and claim.isdigit() else 0

"""Keep thumbnails in the user's cache folder: indexing runs add the small ones, and the server adds the others."""

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
"""The approximate shorter edge of a thumbnail in pixels; see `pixsearch_indexer.thumbnails`."""

SMALL_BYTES = 48 << 10
"""Room for a small thumbnail: 1.4 times the mean, for libraries with more detail.

The mean is 35,000 bytes, p95 62,100, of the 199 photos of an album: `pixsearch index album/images`, then
`find ~/.cache/pixsearch/thumbnails -type f -printf "%s\\n"`.
"""
ROOM_BYTES = 512 << 20
"""The room for large thumbnails, and for small ones in addition to those of the libraries in use."""

_DAY_S = 24 * 60 * 60
_IN_USE_S = 90 * _DAY_S
_LONGEST_CLAIM_BYTES = 20


def limit_of_small(pictures: int) -> int:
    """Return how many bytes the small thumbnails may take, given the number of pictures in all libraries in use."""
    return ROOM_BYTES + pictures * SMALL_BYTES


class ThumbnailCache:
    """A cache of thumbnails by the digest of a photo's content and by their edge, shared by all libraries of a user.

    It has room for the small thumbnails of every library to which a run added photos, or whose server was started,
    within the last 90 days. Each of these libraries claims room by a file with its number of pictures, and all claims
    are respected: the server of a small library never deletes thumbnails that a large one needs. Beyond the claimed
    room, the least recently used thumbnails are deleted. The claim of a deleted library expires after the 90 days.
    Large thumbnails have room of their own.

    Not guaranteed: that a thumbnail is present (see `DiskCache`), or that small ones fit if they take more than
    `SMALL_BYTES` on average. The thumbnail of a deleted photo stays until its room is needed.
    """

    def __init__(self, folder: Path, library: str, count_pictures: Callable[[], int]) -> None:
        """Open the cache in a folder.

        Args:
            folder: the cache folder.
            library: the library's name, which no other library has.
            count_pictures: returns how many pictures the library has or is about to have; may raise PixsearchError.
        """
        self._claims = folder / "thumbnail-claims"
        self._own_claim = self._claims / hashlib.sha256(os.fsencode(library)).hexdigest()
        self._count_pictures = count_pictures
        self._kept = {
            SMALL: DiskCache(folder / "thumbnails", self._limit_of_small),
            LARGE: DiskCache(folder / "large-thumbnails", lambda: ROOM_BYTES),
        }

    def get(self, digest: bytes, edge: int) -> bytes | None:
        """Return a thumbnail as a JPEG; None if it is missing or damaged."""
        return self._kept[edge].get(_name(digest, edge))

    def put(self, digest: bytes, edge: int, jpeg: bytes) -> None:
        """Store a thumbnail, if possible."""
        with suppress(PixsearchError):  # the room needed is unknown: nothing is deleted this time
            self._kept[edge].put(_name(digest, edge), jpeg)

    def claim_room(self) -> int:
        """Record how many pictures the library has, for all processes, and return it. Raises PixsearchError.

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
    """Open the thumbnails in the user's cache folder; None if the user has no such folder. See `ThumbnailCache`."""
    try:
        return ThumbnailCache(cache_folder(), library, count_pictures)
    except PixsearchError:
        return None


def _name(digest: bytes, edge: int) -> str:
    return f"{digest.hex()}-{edge}.jpg"


def _claimed(file: Path, newest_s: float) -> int:
    """Return how many pictures a library claims room for; 0 if the claim is older or the file is damaged."""
    try:
        claim = read_regular(file, _LONGEST_CLAIM_BYTES)
        is_fresh = time.time() - file.stat().st_mtime < newest_s
    except OSError:
        return 0
    return int(claim) if is_fresh and not file.suffix and claim.isdigit() else 0

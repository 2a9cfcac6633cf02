"""Cache thumbnails in the user's cache folder. Indexing runs add small thumbnails, and the server adds the others."""

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
"""The approximate length of a thumbnail's shorter edge in pixels; see `pixsearch_indexer.thumbnails`."""

SMALL_BYTES = 48 << 10
"""The space allotted to a small thumbnail: 1.4 times the mean, because some libraries have more detailed photos.

In an album of 199 photos, the mean is 35,000 bytes and the 95th percentile is 62,100. To measure it, run
`pixsearch index album/images`, then `find ~/.cache/pixsearch/thumbnails -type f -printf "%s\\n"`.
"""
ROOM_BYTES = 512 << 20
"""The space for large thumbnails, and the extra space for small thumbnails from libraries that are not in use."""

_DAY_S = 24 * 60 * 60
_IN_USE_S = 90 * _DAY_S
_LONGEST_CLAIM_BYTES = 20


def limit_of_small(pictures: int) -> int:
    """Return the space for small thumbnails in bytes, given the number of pictures in all libraries in use."""
    return ROOM_BYTES + pictures * SMALL_BYTES


class ThumbnailCache:
    """A cache of thumbnails, keyed by content digest and edge, which all libraries of a user share.

    There is space for the small thumbnails of every library that was in use within the last 90 days, meaning that a run
    added photos to it or that its server was started. Each library in use claims space with a file that contains its
    number of pictures. All claims are respected, so the server of a small library never deletes thumbnails that a large
    library needs. When the total space is full, the least recently used thumbnails are deleted. The claim of a deleted
    library expires after 90 days. Large thumbnails have their own space.

    There is no guarantee that a thumbnail is present (see `DiskCache`), or that the small ones fit if they take more
    than `SMALL_BYTES` on average. The thumbnail of a deleted photo stays until its space is needed.
    """

    def __init__(self, folder: Path, library: str, count_pictures: Callable[[], int]) -> None:
        """Open the cache in a folder.

        Args:
            folder: the cache folder.
            library: the unique name of the library.
            count_pictures: returns the number of pictures that the library has or will soon have; may raise
                PixsearchError.
        """
        self._claims = folder / "thumbnail-claims"
        self._own_claim = self._claims / hashlib.sha256(os.fsencode(library)).hexdigest()
        self._count_pictures = count_pictures
        self._kept = {
            SMALL: DiskCache(folder / "thumbnails", self._limit_of_small),
            LARGE: DiskCache(folder / "large-thumbnails", lambda: ROOM_BYTES),
        }

    def get(self, digest: bytes, edge: int) -> bytes | None:
        """Return a thumbnail as a JPEG, or None if it is missing or damaged."""
        return self._kept[edge].get(_name(digest, edge))

    def put(self, digest: bytes, edge: int, jpeg: bytes) -> None:
        """Store a thumbnail, if possible."""
        with suppress(PixsearchError):  # if the limit is unknown, nothing is deleted this time
            self._kept[edge].put(_name(digest, edge), jpeg)

    def claim_room(self) -> int:
        """Record the library's number of pictures for all processes, and return it. Raises PixsearchError.

        The recorded number never decreases within a day. A run claims space in advance, and a server that counts only
        the current pictures must not lower that claim.
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
    """Open the thumbnail cache in the user's cache folder, or return None if there is no such folder."""
    try:
        return ThumbnailCache(cache_folder(), library, count_pictures)
    except PixsearchError:
        return None


def _name(digest: bytes, edge: int) -> str:
    return f"{digest.hex()}-{edge}.jpg"


def _claimed(file: Path, newest_s: float) -> int:
    """Return the number of pictures in a claim, or 0 if the claim is older than `newest_s` or damaged."""
    try:
        claim = read_regular(file, _LONGEST_CLAIM_BYTES)
        is_fresh = time.time() - file.stat().st_mtime < newest_s
    except OSError:
        return 0
    return int(claim) if is_fresh and not file.suffix and claim.isdigit() else 0

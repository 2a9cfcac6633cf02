"""Read the exposure of a photo shown in the viewer. Runs in worker processes; see `pixsearch.decoding`."""

from __future__ import annotations

from collections.abc import Sequence

from pixsearch.library.photo_files import read_first
from pixsearch.library.records import StoredPhoto
from pixsearch.pictures import open_header
from pixsearch_indexer.metadata.exposure import Exposure
from pixsearch_indexer.metadata.reader import read_exposure
from pixsearch_indexer.thumbnails import NoThumbnail, result_or_reason


def photo_exposure(photos: Sequence[StoredPhoto], digest: bytes, megapixels: int) -> Exposure | NoThumbnail:
    """Return the exposure from the first unchanged photo of a picture, or the reason why it cannot be read."""

    def read() -> Exposure:
        data = read_first(photos, digest)
        return read_exposure(open_header(data, megapixels), data)

    return result_or_reason(read)

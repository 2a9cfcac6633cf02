"""Make thumbnails of photos. Runs in worker processes; see `pixsearch.decoding`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from pixsearch.errors import PictureError
from pixsearch.library.photo_files import open_photo
from pixsearch.library.records import StoredPhoto
from pixsearch.pictures import open_header
from pixsearch_indexer.salvage import decoded_picture
from pixsearch_indexer.thumbnail_cache import SMALL

LONGEST = 4
"""The maximum ratio of a thumbnail's longer edge to its shorter edge."""
_QUALITY = 82
_NEAR_SMALL = 0.8
_LEAST_SMALL = SMALL * 7 // 10
"""The minimum length of a small thumbnail's shorter edge in pixels, unless the photo itself is smaller."""


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class NoThumbnail:
    """The reason why a file has no thumbnail, on one line."""

    reason: str


def photo_thumbnail(photo: StoredPhoto, digest: bytes, edge: int, megapixels: int) -> bytes | NoThumbnail:
    """Make a JPEG thumbnail of a photo. The shorter edge of the thumbnail has `edge` pixels.

    Small thumbnails may be up to a quarter larger, but no thumbnail is larger than its photo. The file must be the one
    that was indexed; see `open_photo`. The thumbnail of a truncated file shows only the part that was indexed.
    """

    def draw() -> bytes:
        with open_photo(photo, digest) as file:
            data = file.read()
        header = open_header(data, megapixels)
        shorter = max(1, round(min(header.size) * _scale(header.size, edge)))
        return _thumbnail(decoded_picture(data, header, shorter, megapixels)[0], edge)

    return result_or_reason(draw)


def small_thumbnail(picture: Image.Image, size: tuple[int, int]) -> bytes | None:
    """Make the small thumbnail of a photo from the picture that was decoded for the model.

    Return None if that picture is too small. The decoder scales it down to the model's input size, which may be only 64
    pixels. `size` is the full size of the photo.
    """
    return None if min(picture.size) < min(_LEAST_SMALL, *size) else _thumbnail(picture, SMALL)


def upload_as_png(data: bytes, min_edge: int, megapixels: int) -> bytes | NoThumbnail:
    """Convert an uploaded picture to a plain PNG that has the same embedding."""

    def draw() -> bytes:
        picture, _ = decoded_picture(data, open_header(data, megapixels), min_edge, megapixels)
        return _encoded(picture, "PNG", compress_level=1)

    return result_or_reason(draw)


def _thumbnail(picture: Image.Image, edge: int) -> bytes:
    """Scale a decoded picture to a shorter edge of `edge` pixels and a longer edge of at most `LONGEST` times that.

    A small thumbnail that would shrink by less than a fifth is not scaled, which saves 2 ms per indexed photo.
    """
    scale, is_small = _scale(picture.size, edge), edge <= SMALL
    if scale < (_NEAR_SMALL if is_small else 1):
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        # For the photos of an album, the Hamming filter is 1 ms faster per photo than the bicubic filter.
        filter = Image.Resampling.HAMMING if is_small else Image.Resampling.BICUBIC
        picture = picture.resize(size, filter, reducing_gap=2)
    return _encoded(picture, "JPEG", quality=_QUALITY)


def _encoded(picture: Image.Image, format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def result_or_reason(read: Callable[[], Result]) -> Result | NoThumbnail:
    """Return the result of a function that reads a photo, or the reason why it failed."""
    try:
        return read()
    except FileNotFoundError:
        return NoThumbnail("the file no longer exists")
    except OSError as error:
        return NoThumbnail(f"cannot be read: {error.strerror or error}")
    except PictureError as error:
        return NoThumbnail(error.message)
    except MemoryError:
        return NoThumbnail("takes more memory to decode than a photo should")
    except Exception as error:  # noqa: BLE001 - decoders may raise any exception on hostile bytes
        return NoThumbnail(f"cannot be read: unexpected {type(error).__name__}: {error}")


def _scale(size: tuple[int, int], edge: int) -> float:
    return min(1.0, edge / min(size), LONGEST * edge / max(size))

"""Draw small pictures of photos to look at. Runs in worker processes, see `pixsearch.decoding`."""

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
"""How many times as long as its shorter edge a thumbnail may be."""
_QUALITY = 82
_NEAR_SMALL = 0.8
_LEAST_SMALL = SMALL * 7 // 10
"""What the shorter edge of a small thumbnail has at least in pixels, where the photo has as many."""


Drawn = TypeVar("Drawn")


@dataclass(frozen=True, slots=True)
class NoThumbnail:
    """Why there is none, in one line."""

    reason: str


def photo_thumbnail(photo: StoredPhoto, digest: bytes, edge: int, megapixels: int) -> bytes | NoThumbnail:
    """A photo as a JPEG whose shorter edge has so many pixels, or a quarter more where it is small; but never larger
    than the photo.

    Only of the very file that the library knows, see `open_photo`. A file that is cut short is shown as far as it was
    indexed.
    """

    def draw() -> bytes:
        with open_photo(photo, digest) as file:
            data = file.read()
        header = open_header(data, megapixels)
        shorter = max(1, round(min(header.size) * _scale(header.size, edge)))
        return _thumbnail(decoded_picture(data, header, shorter, megapixels)[0], edge)

    return drawn(draw)


def small_thumbnail(picture: Image.Image, size: tuple[int, int]) -> bytes | None:
    """The small thumbnail of a photo of that size that was decoded for a model: as `photo_thumbnail` has it, but not
    with more pixels than were decoded.

    None where that are too few: the decoder scales down to what the model sees, whose edge has 64 pixels, say.
    """
    return None if min(picture.size) < min(_LEAST_SMALL, *size) else _thumbnail(picture, SMALL)


def upload_as_png(data: bytes, min_edge: int, megapixels: int) -> bytes | NoThumbnail:
    """Somebody's picture file as a plain PNG, as the model is shown it: encoding either gives the same embedding."""

    def draw() -> bytes:
        picture, _ = decoded_picture(data, open_header(data, megapixels), min_edge, megapixels)
        return _file_of(picture, "PNG", compress_level=1)

    return drawn(draw)


def _thumbnail(picture: Image.Image, edge: int) -> bytes:
    """A decoded picture as a JPEG, its shorter edge scaled to that, its longer one to at most `LONGEST` times that.

    A small one is scaled by more than a fifth or not at all: every photo that is indexed would pay 2 ms for it.
    """
    scale, is_small = _scale(picture.size, edge), edge <= SMALL
    if scale < (_NEAR_SMALL if is_small else 1):
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        # Of the photos of an album, Hamming's filter takes 1 ms less than the bicubic one.
        filter = Image.Resampling.HAMMING if is_small else Image.Resampling.BICUBIC
        picture = picture.resize(size, filter, reducing_gap=2)
    return _file_of(picture, "JPEG", quality=_QUALITY)


def _file_of(picture: Image.Image, format: str, **how: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **how)
    return buffer.getvalue()


def drawn(draw: Callable[[], Drawn]) -> Drawn | NoThumbnail:
    """Return what was drawn or read from a file, or why it could not be."""
    try:
        return draw()
    except FileNotFoundError:
        return NoThumbnail("the file no longer exists")
    except OSError as error:
        return NoThumbnail(f"cannot be read: {error.strerror or error}")
    except PictureError as error:
        return NoThumbnail(error.message)
    except MemoryError:
        return NoThumbnail("takes more memory to decode than a photo should")
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they like on hostile bytes, and it is told
        return NoThumbnail(f"cannot be read: unexpected {type(error).__name__}: {error}")


def _scale(size: tuple[int, int], edge: int) -> float:
    return min(1.0, edge / min(size), LONGEST * edge / max(size))

"""Draw small pictures of photos to look at. Runs in worker processes, see `pixsearch.decoding`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from pixsearch.errors import PictureError
from pixsearch.library.photo_files import open_photo
from pixsearch.library.records import StoredPhoto
from pixsearch.pictures import open_header
from pixsearch_indexer.load import decoded_picture

LONGEST = 4
"""How many times as long as its shorter edge a thumbnail may be."""
_QUALITY = 82


@dataclass(frozen=True, slots=True)
class NoThumbnail:
    """Why there is none, in one line."""

    reason: str


def photo_thumbnail(photo: StoredPhoto, digest: bytes, edge: int, megapixels: int) -> bytes | NoThumbnail:
    """A photo as a JPEG whose shorter edge has so many pixels, but never larger than the photo.

    Only of the very file that the library knows, see `open_photo`. A file that is cut short is shown as far as it was
    indexed.
    """

    def draw() -> Image.Image:
        with open_photo(photo, digest) as file:
            return scaled(file.read(), edge, megapixels)

    return _drawn(draw, "JPEG", quality=_QUALITY)


def upload_as_png(data: bytes, min_edge: int, megapixels: int) -> bytes | NoThumbnail:
    """Somebody's picture file as a plain PNG, as the model is shown it: encoding either gives the same embedding."""

    def draw() -> Image.Image:
        return decoded_picture(data, open_header(data, megapixels), min_edge, megapixels)[0]

    return _drawn(draw, "PNG", compress_level=1)


def scaled(data: bytes, edge: int, megapixels: int) -> Image.Image:
    """The picture in a file's bytes with its shorter edge that long, its longer one at most `LONGEST` times that.

    Raises PictureError, OSError.
    """
    header = open_header(data, megapixels)
    shorter = max(1, round(min(header.size) * _scale(header, edge)))
    picture, _ = decoded_picture(data, header, shorter, megapixels)
    scale = _scale(picture, edge)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BICUBIC, reducing_gap=2)


def _drawn(draw: Callable[[], Image.Image], format: str, **how: int) -> bytes | NoThumbnail:
    """What was drawn as a file, or why it could not be."""
    try:
        buffer = io.BytesIO()
        draw().save(buffer, format, **how)
        return buffer.getvalue()
    except FileNotFoundError:
        return NoThumbnail("the file is not there any more")
    except OSError as error:
        return NoThumbnail(f"cannot be read: {error.strerror or error}")
    except PictureError as error:
        return NoThumbnail(error.message)
    except MemoryError:
        return NoThumbnail("takes more memory to decode than a photo should")
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they like on hostile bytes, and it is told
        return NoThumbnail(f"cannot be read: unexpected {type(error).__name__}: {error}")


def _scale(picture: Image.Image, edge: int) -> float:
    return min(1.0, edge / min(picture.size), LONGEST * edge / max(picture.size))

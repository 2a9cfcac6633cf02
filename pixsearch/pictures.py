"""Decoding of picture files to upright RGB pixels. The format of a file is known by its content, never its suffix."""

from __future__ import annotations

import base64
import functools
import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from pixsearch.avif_boxes import AVIF_BRANDS, avif_facts
from pixsearch.colours import to_srgb
from pixsearch.errors import PictureError
from pixsearch.picture_files import HEIF_BRANDS, MEGAPIXEL_LIMIT, read_picture_file
from pixsearch.raw_files import RawImageFile
from pixsearch.second_decoders import TURNS, AvifImage, reopened, to_8_bit
from pixsearch.storage import FilePath

if TYPE_CHECKING:
    from pixsearch.model.config import InputShape

# Pillow's own guard is process-wide and refuses 200 megapixels; ours, below, is checked before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = MEGAPIXEL_LIMIT * 1_000_000

# Texts and colour profiles of PNG are often larger than the megabyte that Pillow takes; a worker's memory is bounded.
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20

# Named, so that no file reaches Pillow's other readers: EPS runs ghostscript, ICO or FITS are no photos.
# RAW before TIFF, which many RAW files look like. What else is tried is in `second_decoders`.
_FORMATS = (RawImageFile.format, "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM", "PSD")

METADATA_ERRORS = (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error)
"""The errors that Pillow raises for damaged metadata."""

_EXIF_ORIENTATION = 0x0112
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR, _TIFF_SAMPLE_FORMAT = 258, 262, 284, 339
_UPRIGHT_FROM_THE_BEGINNING = ("TIFF", RawImageFile.format, "JXL", "PSD")
"""Formats that come turned, and have the upright size before they are decoded."""


def data_url(picture: Image.Image) -> str:
    """Return a picture as a JPEG inside an address, for a page that stands alone."""
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"


def open_picture(
    source: FilePath | bytes, min_edge: int | None = None, megapixels: int = MEGAPIXEL_LIMIT
) -> Image.Image:
    """Decode the picture in a file, or in the bytes of one: upright, RGB, first frame, on white where transparent.

    For a RAW file this is its preview. With `min_edge` the picture may be scaled down by a whole number, but its
    shorter edge is never below `min_edge`: a JPEG while it is decoded, which is far faster, others afterwards, which
    saves memory. Raises PictureError with a reason in one line, also for a truncated file.
    """
    data = _bytes_of(source)
    return decoded(data, open_header(data, megapixels), min_edge, megapixels)


def open_header(source: FilePath | bytes, megapixels: int = MEGAPIXEL_LIMIT) -> Image.Image:
    """Open a picture in Pillow without decoding it, for its size, format and metadata.

    A limit on `megapixels` above the usual one needs `Image.MAX_IMAGE_PIXELS` to be raised by the caller, since it
    holds for the whole process.

    Raises PictureError, as `open_picture` does.
    """
    data = _bytes_of(source)
    if not data:
        raise PictureError("the file is empty")
    try:
        picture = _opened(data)
    except Image.DecompressionBombError as error:
        raise _too_large(megapixels) from error
    except PictureError:
        raise
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        if (second := _opened_again(data)) is None:
            raise _not_opened(error) from error
        picture = second
    if picture.width * picture.height > megapixels * 1_000_000:
        raise _too_large(megapixels)
    return picture


def decoded(data: bytes, header: Image.Image, min_edge: int | None, megapixels: int) -> Image.Image:
    """Decode a picture file, by its second decoder where the first fails; see `open_picture`.

    Args:
        header: what `open_header` made of the file's bytes.
    """
    try:
        return upright_rgb(header, min_edge)
    except PictureError:
        second = _opened_again(data)
        if second is None or type(second) is type(header) is not PngImagePlugin.PngImageFile:
            raise
        if second.width * second.height > megapixels * 1_000_000:
            raise _too_large(megapixels) from None
        try:
            return upright_rgb(second, min_edge)
        except PictureError:
            pass
        raise  # what the first one said: a file that is cut short, mostly


def upright_rgb(picture: Image.Image, min_edge: int | None = None) -> Image.Image:
    """Decode what `open_header` opened, by the decoder that opened it; see `open_picture`."""
    orientation = orientation_of(picture)
    try:
        if min_edge is not None:
            picture.draft(None, (min_edge, min_edge))
        picture.load()
    except Exception as error:  # as above
        raise _unreadable(error) from error
    return turned_to_srgb(picture, orientation, min_edge)


def as_seen(picture: Image.Image, shape: InputShape) -> Image.Image:
    """Return an RGB picture as a network of that shape sees it: resized, and cropped where the shape says so."""
    size = shape.picture_size(*picture.size)
    if shape.crop is None:
        return resized(picture, size, shape.resample)
    # Only the middle is computed: the other edge of a panorama may be a thousand times as long.
    scales = [edge / scaled for edge, scaled in zip(picture.size, size, strict=True)]
    starts = [int((scaled - cut) / 2) for scaled, cut in zip(size, shape.crop, strict=True)]
    corners = [*starts, *(start + cut for start, cut in zip(starts, shape.crop, strict=True))]
    left, top, right, bottom = (corner * scale for corner, scale in zip(corners, scales * 2, strict=True))
    return resized(picture, shape.crop, shape.resample, (left, top, right, bottom))


def resized(
    picture: Image.Image,
    size: tuple[int, int],
    resample: str = "bicubic",
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    """Return an RGB picture, or the `box` of it, at a size of width and height."""
    if picture.size == size and box in (None, (0, 0, *size)):
        return picture
    # reducing_gap: a first cheap shrink, so that a 50-megapixel photo does not cost a 50-megapixel filter.
    return picture.resize(size, Image.Resampling[resample.upper()], box, reducing_gap=3.0)


def _bytes_of(source: FilePath | bytes) -> bytes:
    try:
        return source if isinstance(source, bytes) else read_picture_file(source)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from error


def _opened(data: bytes) -> Image.Image:
    """Open a picture. Raises whatever Pillow's decoders raise."""
    formats = list(_FORMATS)
    if data[4:8] == b"ftyp":
        if data[8:12] in AVIF_BRANDS and b"clap" in data[:4096] and avif_facts(data).crop is not None:
            return AvifImage(io.BytesIO(data))
        if data[8:12] in HEIF_BRANDS:
            _register_heif()
            formats.append("HEIF")
    picture = Image.open(io.BytesIO(data), formats=formats)
    if isinstance(picture, TiffImagePlugin.TiffImageFile) and _is_misread(picture):
        return _opened_again(data) or picture
    return picture


def _is_misread(picture: TiffImagePlugin.TiffImageFile) -> bool:
    """Return whether Pillow would open a TIFF but decode it wrongly: more than 8 bits in planes, or with white as 0."""
    tags = picture.tag_v2
    is_deep = max(tags.get(_TIFF_BITS, (1,))) > 8
    return bool(is_deep and (tags.get(_TIFF_PLANAR, 1) == 2 or tags.get(_TIFF_PHOTOMETRIC, 1) == 0))


def _opened_again(data: bytes) -> Image.Image | None:
    """Open a picture by its second decoder, or return None if there is none or it fails too."""
    try:
        return reopened(data)
    except Exception:  # noqa: BLE001 - as above; what the first decoder said is what is told
        return None


def orientation_of(picture: Image.Image) -> int | None:
    """Return the orientation of a picture (EXIF 2.32, 4.6.4, tag 274), or None if the decoder applies it."""
    if picture.format in _UPRIGHT_FROM_THE_BEGINNING:
        return None
    return exif_of(picture).get(_EXIF_ORIENTATION)


def turned_to_srgb(picture: Image.Image, orientation: int | None, min_edge: int | None = None) -> Image.Image:
    """Return a decoded picture upright, in sRGB and on white. Raises PictureError."""
    try:
        flat = _flat_8_bit(picture)
        # Twice as large as asked for still, so that the final resize does not show it (Pillow's `reducing_gap`).
        if min_edge is not None and (factor := min(flat.size) // (2 * min_edge)) > 1:
            flat = flat.reduce(factor)
        rgb = to_srgb(flat, picture.info.get("icc_profile"))
        # Not ImageOps.exif_transpose: it also writes the EXIF block again, which fails on damaged ones.
        return rgb.transpose(TURNS[orientation]) if orientation in TURNS else rgb
    except Exception as error:  # as above
        raise _unreadable(error) from error


def exif_of(picture: Image.Image) -> Image.Exif:
    """Return the EXIF data of a picture, or empty data if it has none or they are damaged."""
    try:
        return picture.getexif()
    except METADATA_ERRORS:
        return Image.Exif()


@functools.cache
def _register_heif() -> None:
    """Teach Pillow HEIC. The plugin turns pictures upright and says so in their EXIF, so that none turns twice."""
    import pillow_heif  # 40 ms that only those with such a photo need to pay

    pillow_heif.register_heif_opener()


def _flat_8_bit(picture: Image.Image) -> Image.Image:
    """Convert a picture to L, CMYK or RGB, on white where it is transparent."""
    if picture.mode.startswith(("I", "F")):
        return _scaled_to_8_bit(picture)
    if picture.mode in ("L", "CMYK") and not picture.has_transparency_data:
        return picture
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    on_white = Image.new("RGB", picture.size, "white")
    with_alpha = picture.convert("RGBA")
    on_white.paste(with_alpha, mask=with_alpha.getchannel("A"))
    return on_white


def _scaled_to_8_bit(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or float, by its range; Pillow's own conversion clips it to white or black."""
    values: NDArray[Any] = np.asarray(picture)
    bits = None
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits = int(picture.tag_v2.get(_TIFF_BITS, (16,))[0])
        is_unsigned = picture.tag_v2.get(_TIFF_SAMPLE_FORMAT, (1,))[0] == 1
        if picture.mode == "I" and bits == 32 and is_unsigned:
            values = values.view(np.uint32)  # which Pillow has no mode for
        elif picture.mode == "I" and bits == 16 and not is_unsigned:
            values = values.astype(np.int16)
    return Image.fromarray(to_8_bit(values, bits if bits is not None and bits < 16 else None))


def _too_large(megapixels: int) -> PictureError:
    return PictureError(f"more than {megapixels:,} megapixels")


def _not_opened(error: Exception) -> PictureError:
    if isinstance(error, UnidentifiedImageError):
        return PictureError("not a picture in a format that pixsearch reads")
    return _unreadable(error)


def _unreadable(error: Exception) -> PictureError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return PictureError(f"cannot be decoded: {reason}")

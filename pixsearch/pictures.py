"""Decode picture files to upright RGB pixels. Formats are detected from the content, never from the suffix."""

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

# Pillow's process-wide limit is too low for 200 megapixels. Our own limit is checked before anything is decoded.
Image.MAX_IMAGE_PIXELS = MEGAPIXEL_LIMIT * 1_000_000

# Text and colour profiles in PNG files often exceed Pillow's limit of 1 MB. Workers have their own memory limit.
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20

# An explicit list keeps files away from Pillow's other readers: EPS runs Ghostscript, and ICO or FITS are not photos.
# RAW comes before TIFF because many RAW files look like TIFF. See `second_decoders` for the fallbacks.
_FORMATS = (RawImageFile.format, "JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "AVIF", "PPM", "PSD")

METADATA_ERRORS = (SyntaxError, ValueError, TypeError, LookupError, OSError, struct.error)
"""The exceptions that Pillow raises for damaged metadata."""

_EXIF_ORIENTATION = 0x0112
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_PLANAR, _TIFF_SAMPLE_FORMAT = 258, 262, 284, 339
_UPRIGHT_FROM_THE_BEGINNING = ("TIFF", RawImageFile.format, "JXL", "PSD")
"""The formats whose decoders rotate the picture themselves. The size is already upright before decoding."""


def data_url(picture: Image.Image) -> str:
    """Return a picture as a JPEG data URL, for self-contained HTML pages."""
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"


def open_picture(
    source: FilePath | bytes, min_edge: int | None = None, megapixels: int = MEGAPIXEL_LIMIT
) -> Image.Image:
    """Decode a picture from a file or bytes: upright, RGB, the first frame only, and on white where transparent.

    For RAW files, the embedded preview is used. With `min_edge`, the picture may be scaled down by an integer factor,
    but its shorter edge is never smaller than `min_edge`. JPEG files are scaled during decoding, which is much faster.
    Other formats are scaled afterwards, which saves memory.

    Raises PictureError with a one-line reason if the file cannot be decoded or is truncated.
    """
    data = _bytes_of(source)
    return decoded(data, open_header(data, megapixels), min_edge, megapixels)


def open_header(source: FilePath | bytes, megapixels: int = MEGAPIXEL_LIMIT) -> Image.Image:
    """Open a picture with Pillow without decoding it, to get its size, format and metadata.

    If `megapixels` is above the default limit, the caller must also raise `Image.MAX_IMAGE_PIXELS`, which applies to
    the whole process.

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
    except Exception as error:  # decoders can raise anything for malicious files
        if (second := _opened_again(data)) is None:
            raise _not_opened(error) from error
        picture = second
    if picture.width * picture.height > megapixels * 1_000_000:
        raise _too_large(megapixels)
    return picture


def decoded(data: bytes, header: Image.Image, min_edge: int | None, megapixels: int) -> Image.Image:
    """Decode a picture file, with the second decoder if the first one fails. See `open_picture`.

    Args:
        data: the content of the file.
        header: the result of `open_header` for `data`.
        min_edge: as in `open_picture`.
        megapixels: the size limit for the second decoder.
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
        raise  # the first error: usually a truncated file


def upright_rgb(picture: Image.Image, min_edge: int | None = None) -> Image.Image:
    """Decode a picture returned by `open_header`, using the same decoder. See `open_picture`."""
    orientation = orientation_of(picture)
    try:
        if min_edge is not None:
            picture.draft(None, (min_edge, min_edge))
        picture.load()
    except Exception as error:  # see `open_header`
        raise _unreadable(error) from error
    return turned_to_srgb(picture, orientation, min_edge)


def as_seen(picture: Image.Image, shape: InputShape) -> Image.Image:
    """Return an RGB picture resized, and cropped if required, to the input shape of a network."""
    size = shape.picture_size(*picture.size)
    if shape.crop is None:
        return resized(picture, size, shape.resample)
    # Resize only the part inside the crop: one edge of a panorama may be a thousand times as long as the other.
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
    """Return an RGB picture, or the part of it inside `box`, resized to a width and height."""
    if picture.size == size and box in (None, (0, 0, *size)):
        return picture
    # reducing_gap shrinks the picture cheaply first, so that the filter does not have to process 50 megapixels.
    return picture.resize(size, Image.Resampling[resample.upper()], box, reducing_gap=3.0)


def _bytes_of(source: FilePath | bytes) -> bytes:
    try:
        return source if isinstance(source, bytes) else read_picture_file(source)
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror}") from error


def _opened(data: bytes) -> Image.Image:
    """Open a picture. Exceptions from Pillow's decoders are not caught."""
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
    """Return whether Pillow would decode a TIFF incorrectly: more than 8 bits, with separate planes or white as 0."""
    tags = picture.tag_v2
    is_deep = max(tags.get(_TIFF_BITS, (1,))) > 8
    return bool(is_deep and (tags.get(_TIFF_PLANAR, 1) == 2 or tags.get(_TIFF_PHOTOMETRIC, 1) == 0))


def _opened_again(data: bytes) -> Image.Image | None:
    """Open a picture with its second decoder, or return None if there is none or it also fails."""
    try:
        return reopened(data)
    except Exception:  # noqa: BLE001 - see `open_header`; the first decoder's error is reported
        return None


def orientation_of(picture: Image.Image) -> int | None:
    """Return the orientation of a picture (EXIF 2.32, 4.6.4, tag 274), or None if the decoder applies it itself."""
    if picture.format in _UPRIGHT_FROM_THE_BEGINNING:
        return None
    return exif_of(picture).get(_EXIF_ORIENTATION)


def turned_to_srgb(picture: Image.Image, orientation: int | None, min_edge: int | None = None) -> Image.Image:
    """Return a decoded picture upright, in sRGB, and on white where transparent. Raises PictureError."""
    try:
        flat = _flat_8_bit(picture)
        # Keep twice the requested size, so that the final resize hides the difference (like Pillow's `reducing_gap`).
        if min_edge is not None and (factor := min(flat.size) // (2 * min_edge)) > 1:
            flat = flat.reduce(factor)
        rgb = to_srgb(flat, picture.info.get("icc_profile"))
        # Not ImageOps.exif_transpose, which also rewrites the EXIF data and fails if it is damaged.
        return rgb.transpose(TURNS[orientation]) if orientation in TURNS else rgb
    except Exception as error:  # see `open_header`
        raise _unreadable(error) from error


def exif_of(picture: Image.Image) -> Image.Exif:
    """Return the EXIF data of a picture, or empty EXIF data if it is missing or damaged."""
    try:
        return picture.getexif()
    except METADATA_ERRORS:
        return Image.Exif()


@functools.cache
def _register_heif() -> None:
    """Add HEIC support to Pillow. The plugin rotates pictures and resets their EXIF orientation."""
    import pillow_heif  # takes 40 ms, so it is imported only for HEIC photos

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
    """Scale a 16-bit, 32-bit or float greyscale picture to 8 bits. Pillow's own conversion would clip the values."""
    values: NDArray[Any] = np.asarray(picture)
    bits = None
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        bits = int(picture.tag_v2.get(_TIFF_BITS, (16,))[0])
        is_unsigned = picture.tag_v2.get(_TIFF_SAMPLE_FORMAT, (1,))[0] == 1
        if picture.mode == "I" and bits == 32 and is_unsigned:
            values = values.view(np.uint32)  # Pillow has no unsigned 32-bit mode
        elif picture.mode == "I" and bits == 16 and not is_unsigned:
            values = values.astype(np.int16)
    return Image.fromarray(to_8_bit(values, bits if bits is not None and bits < 16 else None))


def _too_large(megapixels: int) -> PictureError:
    return PictureError(f"more than {megapixels:,} megapixels")


def _not_opened(error: Exception) -> PictureError:
    if isinstance(error, UnidentifiedImageError):
        return PictureError("not a picture in a supported format")
    return _unreadable(error)


def _unreadable(error: Exception) -> PictureError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return PictureError(f"cannot be decoded: {reason}")

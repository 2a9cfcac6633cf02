"""Recognise and read picture files without importing Pillow."""

from __future__ import annotations

from importlib.util import find_spec

from pixsearch.errors import PictureError
from pixsearch.regular_files import UnsuitableFile
from pixsearch.storage import FilePath, is_remote, read_file, read_head, to_path

MEGAPIXEL_LIMIT = 300
"""The default size limit, which guards against decompression bombs. Phone cameras produce up to 200 megapixels."""

FILE_LIMIT_BYTES = 2 << 30

_SIGNATURES = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x0cJXL ",
    b"\xff\x0a",
    b"8BPS\0",
)
_RAW_SIGNATURES = (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW")
"""The signatures of Olympus (three), Panasonic and Fujifilm RAW files. Most other RAW files start like a TIFF file."""
HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}
SIGNATURE_BYTES = 16
"""The number of bytes required by `has_picture_signature`."""

PICTURE_SUFFIXES = tuple(
    b".jpg .jpeg .jpe .jfif .png .webp .gif .bmp .tif .tiff .heic .heif .hif .avif .jp2 .j2k .jxl .ppm .pgm .pnm"
    b" .psd .psb .dng .cr2 .cr3 .nef .nrw .arw .srw .raf .orf .rw2 .pef".split()
)
"""The file name suffixes of pictures. An unreadable file is reported as a failure only if it has one of them."""

RAW_WITHOUT_RAWPY = "reading RAW files requires rawpy: pip install 'pixsearch[raw]'"


def read_picture_file(path: FilePath, size_bytes: int | None = None) -> bytes:
    """Read a picture file. Raises PictureError if it is not a regular file or is too large, or OSError.

    Args:
        path: the file to read.
        size_bytes: the size of a remote object, if known from a listing. Passing it saves a request. At most
            this many bytes are read.
    """
    try:
        return read_file(path, FILE_LIMIT_BYTES, size_bytes)
    except IsADirectoryError as error:
        raise PictureError("not a regular file") from error
    except UnsuitableFile as error:
        raise PictureError(error.strerror or str(error)) from error


def is_named_like_a_picture(path: bytes) -> bool:
    """Return whether a path has the suffix of a picture file."""
    return path.lower().endswith(PICTURE_SUFFIXES)


def starts_like_a_picture(path: bytes) -> bool:
    """Return whether a file starts with a picture signature. Return False if it cannot be read.

    For an object in remote storage, check the suffix instead if there is one: reading every sidecar in a bucket would
    take hours.
    """
    if is_remote(path) and b"." in path.rpartition(b"/")[2]:
        return is_named_like_a_picture(path)
    try:
        return has_picture_signature(read_head(to_path(path) if is_remote(path) else path, SIGNATURE_BYTES))
    except OSError:
        return False


def has_picture_signature(head: bytes) -> bool:
    """Return whether the first bytes of a file look like those of a picture."""
    if head.startswith(_SIGNATURES) or has_raw_signature(head):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] in HEIF_BRANDS | _AVIF_BRANDS
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    return head.startswith(b"BM") and head[6:10] == bytes(4)


def has_raw_signature(head: bytes) -> bool:
    """Return whether the first bytes of a file are unique to RAW files. Most RAW files start like a TIFF file."""
    return head.startswith(_RAW_SIGNATURES) or head[4:12] == b"ftypcrx "


def can_read_raw() -> bool:
    """Return whether rawpy is installed."""
    return find_spec("rawpy") is not None

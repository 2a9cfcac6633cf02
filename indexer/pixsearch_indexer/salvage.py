"""Decode picture files, recovering as much as possible from truncated ones."""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pixsearch.errors import PictureError
from pixsearch.pictures import decoded, open_header, orientation_of, turned_to_srgb

LEAST_SHARE = 0.5

_END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd9", 0xDA
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)
_NEVER_REACHED = 128


def decoded_picture(data: bytes, header: Image.Image, min_edge: int, megapixels: int) -> tuple[Image.Image, float]:
    """Decode a picture like `open_picture`. Return it with the share of its rows that was decoded. Raises PictureError.

    Args:
        header: the result of `open_header` for the same bytes.
    """
    try:
        return decoded(data, header, min_edge, megapixels), 1.0
    except PictureError:
        if (part := decoded_part(data, min_edge, megapixels)) is None:
            raise
        return turned_to_srgb(part[0], orientation_of(header), min_edge), part[1]


def decoded_part(data: bytes, min_edge: int, megapixels: int) -> tuple[Image.Image, float] | None:
    """Return the rows that can be decoded, from the top or the bottom, and their share of all rows.

    The picture is neither turned upright nor converted to RGB. Return None if less than half of the rows can be
    decoded. Missing rows are cut off, whereas Pillow's LOAD_TRUNCATED_IMAGES would fill them with grey.
    """
    if (frame := _progressive_frame(data)) is not None:
        return _coarser_picture(data, frame, min_edge, megapixels)
    # The picture is decoded twice, onto black and onto white. Rows that come out the same are in the file.
    on_black, on_white = (_decoded_onto(open_header(data, megapixels), fill, min_edge) for fill in (b"\x00", b"\xff"))
    if on_black is None or on_white is None:
        return None
    same = (_rows(on_black) == _rows(on_white)).all(axis=1)
    from_top, from_bottom = _leading(same), _leading(same[::-1])
    width, height = on_black.size
    if max(from_top, from_bottom) < LEAST_SHARE * height:
        return None
    if from_top >= from_bottom:
        return on_black.crop((0, 0, width, from_top)), from_top / height
    return on_black.crop((0, height - from_bottom, width, height)), from_bottom / height


def _coarser_picture(data: bytes, frame: int, min_edge: int, megapixels: int) -> tuple[Image.Image, float] | None:
    """Decode a truncated progressive JPEG. Return None if its first scan covers less than half of the picture.

    A progressive JPEG contains all rows long before its end, and later scans refine them (ITU-T T.81, annex G). With an
    end marker appended, libjpeg decodes what is there. Rows that the first scan does not reach are uniformly grey. The
    share is never 1, because the refinement of the last rows is missing.
    """
    scans, ends = _scans(data, frame)
    picture = open_header(data[:ends] + _END_OF_IMAGE, megapixels)
    picture.draft(None, (min_edge, min_edge))
    try:
        picture.load()
    except Exception:  # noqa: BLE001 - decoders may raise any exception on damaged files
        return None
    height = picture.height
    reached = height
    if scans < 2:  # otherwise the first scan is complete
        rows = _rows(picture.convert("RGB"))
        reached = height - _leading((rows == _NEVER_REACHED).all(axis=1)[::-1])
    if reached < LEAST_SHARE * height:
        return None
    return picture.crop((0, 0, picture.width, reached)), min(reached, height - 1) / height


def _progressive_frame(data: bytes) -> int | None:
    """Return the offset of a progressive JPEG's frame header, or None for any other file. Thumbnails are ignored."""
    at = 2
    while data[:2] == b"\xff\xd8" and data[at : at + 1] == b"\xff" and len(data) - at > 4:
        if data[at + 1] in _FRAMES:
            return at if data[at + 1] in _PROGRESSIVE else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _scans(data: bytes, frame: int) -> tuple[int, int]:
    """Return the number of scans that have begun, and the offset at which the last complete segment ends."""
    scans, at = 0, frame
    while len(data) - at > 4:
        ends = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if ends > len(data):
            break
        if data[at + 1] == _START_OF_SCAN:
            scans += 1
            marker = _MARKER.search(data, ends)
            if marker is None:
                return scans, len(data)
            ends = marker.start()
        at = ends
    return scans, at


def _decoded_onto(picture: Image.Image, fill: bytes, min_edge: int) -> Image.Image | None:
    """Decode onto a filled picture as far as the file goes. Return None if the decoder needs complete files."""
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile:
        return None
    picture.draft(None, (min_edge, min_edge))
    picture.load_prepare()
    size = len(Image.new(picture.mode, picture.size).tobytes())
    picture.im = Image.frombytes(picture.mode, picture.size, fill * size).im
    with suppress(Exception):  # decoders may raise any exception on truncated or damaged files
        picture.load()
    picture.tile = []  # so that Pillow considers it loaded
    return picture


def _rows(picture: Image.Image) -> NDArray[np.uint8]:
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, -1)


def _leading(flags: NDArray[np.bool_]) -> int:
    """Return the number of leading flags that are true."""
    return len(flags) if flags.all() else int(np.argmin(flags))

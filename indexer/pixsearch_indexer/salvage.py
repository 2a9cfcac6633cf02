"""What can still be seen of a picture whose file is cut short."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from pixsearch.pictures import open_header

LEAST_SHARE = 0.5


def decoded_part(data: bytes, min_edge: int, megapixels: int) -> tuple[Image.Image, float] | None:
    """The rows that can be decoded, from the top or the bottom, and which share of all rows they are.

    The picture is as the file has it: neither upright nor RGB. None where less than half can be decoded. Nothing is
    made up for the rest, as Pillow's own LOAD_TRUNCATED_IMAGES does with grey.
    """
    # Decoded twice, onto black and onto white: a row that comes out the same was in the file.
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


def _decoded_onto(picture: Image.Image, fill: bytes, min_edge: int) -> Image.Image | None:
    """As far as the file goes; None where the format's decoder gives nothing before all is there."""
    if not isinstance(picture, ImageFile.ImageFile) or not picture.tile:
        return None
    picture.draft(None, (min_edge, min_edge))
    picture.load_prepare()
    size = len(Image.new(picture.mode, picture.size).tobytes())
    picture.im = Image.frombytes(picture.mode, picture.size, fill * size).im
    with suppress(Exception):  # decoders raise whatever they like where a file ends or is damaged
        picture.load()
    picture.tile = []  # so that Pillow takes it for loaded
    return picture


def _rows(picture: Image.Image) -> NDArray[np.uint8]:
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(picture.height, -1)


def _leading(flags: NDArray[np.bool_]) -> int:
    """How many at the beginning are true."""
    return len(flags) if flags.all() else int(np.argmin(flags))

"""Read the size of a JPEG XL picture from its header (ISO/IEC 18181-1, annex D)."""

from __future__ import annotations

from pixsearch.boxes import boxes

_CODESTREAM = b"\xff\x0a"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_BITS = (9, 13, 18, 30)
_HEAD_BYTES = 32


def jxl_size(data: bytes) -> tuple[int, int]:
    """Return the width and height of the upright picture. Raises SyntaxError if the data is not JPEG XL."""
    bits = _Bits(_codestream(data)[2:_HEAD_BYTES])
    is_small = bits.take(1)
    height = _length(bits, is_small)
    ratio = bits.take(3)
    width = height * _RATIOS[ratio][0] // _RATIOS[ratio][1] if ratio else _length(bits, is_small)
    has_defaults = bits.take(1)
    orientation = 1
    if not has_defaults and bits.take(1):
        orientation += bits.take(3)
    return (height, width) if orientation > 4 else (width, height)


def _length(bits: _Bits, is_small: int) -> int:
    return (bits.take(5) + 1) * 8 if is_small else 1 + bits.take(_BITS[bits.take(2)])


def _codestream(data: bytes) -> bytes:
    if data.startswith(_CODESTREAM):
        return data[:_HEAD_BYTES]
    for box in boxes(data):
        if box.kind in (b"jxlc", b"jxlp"):
            begins = box.begins + (4 if box.kind == b"jxlp" else 0)  # after the part number
            found = data[begins : begins + _HEAD_BYTES]
            if found.startswith(_CODESTREAM):
                return found
    raise SyntaxError("no JPEG XL codestream")


class _Bits:
    """A bit reader that starts with the least significant bit of each byte."""

    def __init__(self, data: bytes) -> None:
        self._left = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value

"""RAW files for tests, made by hand according to the DNG 1.7 and TIFF 6.0 specifications."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SIGNED_RATIONAL = 1, 2, 3, 4, 5, 10
_FORMATS = {_SHORT: "H", _LONG: "I", _RATIONAL: "II", _SIGNED_RATIONAL: "ii"}

Values = bytes | list[int] | list[Fraction]

SENSOR = (640, 480)


def dng_bytes(preview: bytes | None, *, orientation: int = 1) -> bytes:
    """Return a DNG from a 640 x 480 sensor that saw only red, with a JPEG preview, taken in Sydney.

    The tags belong to IFD0 (the preview), SubIFD (the sensor), Exif and GPS.
    """
    file = bytearray(8)
    width, height = SENSOR
    mosaic = np.zeros((height, width), dtype="<u2")
    mosaic[::2, ::2] = 60000
    sensor: dict[int, tuple[int, Values]] = {
        254: (_LONG, [0]),
        256: (_LONG, [width]),
        257: (_LONG, [height]),
        258: (_SHORT, [16]),
        259: (_SHORT, [1]),
        262: (_SHORT, [32803]),  # colour filter array
        273: (_LONG, [_append(file, mosaic.tobytes())]),
        277: (_SHORT, [1]),
        278: (_LONG, [height]),
        279: (_LONG, [mosaic.nbytes]),
        33421: (_SHORT, [2, 2]),
        33422: (_BYTE, bytes([0, 1, 1, 2])),  # red, green; green, blue
    }
    exif: dict[int, tuple[int, Values]] = {
        36867: (_ASCII, b"2024:04:01 12:30:05"),
        36881: (_ASCII, b"+11:00"),
        42036: (_ASCII, b"Hand-made 35mm F2"),
    }
    gps: dict[int, tuple[int, Values]] = {
        1: (_ASCII, b"S"),
        2: (_RATIONAL, [Fraction(33), Fraction(51), Fraction(243, 10)]),
        3: (_ASCII, b"E"),
        4: (_RATIONAL, [Fraction(151), Fraction(12), Fraction(549, 10)]),
    }
    first: dict[int, tuple[int, Values]] = {
        254: (_LONG, [1]),
        271: (_ASCII, b"Pixsearch"),
        272: (_ASCII, b"Test One"),
        274: (_SHORT, [orientation]),
        330: (_LONG, [_append_directory(file, sensor)]),
        700: (_BYTE, _XMP.encode()),
        33723: (_LONG, [int.from_bytes(_IPTC[at : at + 4], "little") for at in range(0, len(_IPTC), 4)]),
        34665: (_LONG, [_append_directory(file, exif)]),
        34853: (_LONG, [_append_directory(file, gps)]),
        50706: (_BYTE, bytes([1, 4, 0, 0])),
        50708: (_ASCII, b"Pixsearch Test One"),
        50721: (_SIGNED_RATIONAL, [Fraction(number) for number in (1, 0, 0, 0, 1, 0, 0, 0, 1)]),
        50728: (_RATIONAL, [Fraction(1), Fraction(1), Fraction(1)]),
        50778: (_SHORT, [21]),
    }
    if preview is not None:
        first |= {259: (_SHORT, [7]), 262: (_SHORT, [6]), 277: (_SHORT, [3]), 258: (_SHORT, [8, 8, 8])}
        first |= {273: (_LONG, [_append(file, preview)]), 279: (_LONG, [len(preview)])}
        first |= {256: (_LONG, [160]), 257: (_LONG, [120])}
    file[:8] = b"II*\0" + struct.pack("<I", _append_directory(file, first))
    return bytes(file)


def _append(file: bytearray, data: bytes) -> int:
    """Append data and return its offset."""
    file += bytes(len(file) % 2)
    start = len(file)
    file += data
    return start


def _append_directory(file: bytearray, tags: dict[int, tuple[int, Values]]) -> int:
    """Append a TIFF image file directory and return its offset."""
    entries = []
    for tag in sorted(tags):
        type_, values = tags[tag]
        data, count = _packed(type_, values)
        field = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", _append(file, data))
        entries.append(struct.pack("<HHI", tag, type_, count) + field)
    return _append(file, struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4))


def _packed(type_: int, values: Values) -> tuple[bytes, int]:
    """Return a tag's packed values and their count."""
    if isinstance(values, bytes):
        data = values + b"\0" if type_ == _ASCII else values
        return data, len(data)
    rational = type_ in (_RATIONAL, _SIGNED_RATIONAL)
    numbers = [part for value in values for part in (value.as_integer_ratio() if rational else (int(value),))]
    return struct.pack("<" + _FORMATS[type_] * len(values), *numbers), len(values)


_XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title><rdf:Alt><rdf:li>Harbour</rdf:li></rdf:Alt>
</dc:title></rdf:Description></rdf:RDF></x:xmpmeta>"""
_IPTC = b"\x1c\x02\x19\0\x07harbour"

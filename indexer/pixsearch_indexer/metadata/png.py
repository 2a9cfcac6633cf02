"""The texts of a PNG (PNG specification, third edition, 11.3.3), and the profiles that ImageMagick hides in them."""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = "XML:com.adobe.xmp"
_LARGEST = 4 << 20
"""Bytes of a text that are read: a workflow may be longer, and says nothing that is looked for."""
_MOST_TEXTS = 1000
_RAW_PROFILE = re.compile(r"Raw profile type (\w+)")


@dataclass(slots=True)
class PngTexts:
    """What the chunks of a PNG say. Empty where they say nothing."""

    texts: dict[str, str] = field(default_factory=dict)
    """By keyword, the first of each."""
    exif: bytes = b""
    profiles: dict[str, bytes] = field(default_factory=dict)
    """Raw profiles by their type: exif, iptc, xmp, APP1, 8bim."""


def read_png(data: bytes) -> PngTexts:
    """Return what all chunks say, also those behind the pixels. What is damaged is left out."""
    found = PngTexts()
    for kind, body in png_chunks(data):
        if kind == b"eXIf":
            found.exif = found.exif or body
        elif kind in (b"tEXt", b"zTXt", b"iTXt") and len(found.texts) < _MOST_TEXTS:
            keyword, _, rest = body.partition(b"\0")
            text = _text(kind, rest)
            if text is None:
                continue
            name = keyword.decode("latin-1")
            if (profile := _RAW_PROFILE.fullmatch(name)) is not None:
                found.profiles.setdefault(profile[1], _raw_profile(text))
            else:
                found.texts.setdefault(name, text)
    return found


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and body of each chunk, as far as the file goes."""
    at = len(SIGNATURE)
    while len(data) - at >= 12:
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += 12 + size


def _text(kind: bytes, rest: bytes) -> str | None:
    if kind == b"tEXt":
        return _decoded(rest[:_LARGEST])
    if kind == b"zTXt":
        text = _inflated(rest[1:])
        return None if text is None else _decoded(text)
    is_compressed, rest = rest[:1] == b"\1", rest[2:]
    _language, _, rest = rest.partition(b"\0")
    _translated, _, rest = rest.partition(b"\0")
    text = _inflated(rest) if is_compressed else rest[:_LARGEST]
    return None if text is None else text.decode(errors="replace")


def _decoded(text: bytes) -> str:
    """Latin-1 by the specification, UTF-8 by many programs."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _inflated(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, _LARGEST)
    except zlib.error:
        return None


def _raw_profile(text: str) -> bytes:
    """The bytes of a profile, written as a name, a length and hexadecimal digits; none where they are damaged."""
    _name, _, rest = text.strip().partition("\n")
    _length, _, digits = rest.strip().partition("\n")
    try:
        return binascii.unhexlify("".join(digits.split()))
    except (binascii.Error, ValueError):
        return b""

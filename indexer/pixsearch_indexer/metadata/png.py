"""Read the text chunks of a PNG (PNG specification, third edition, 11.3.3), including ImageMagick's profiles."""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = "XML:com.adobe.xmp"
_LARGEST = 4 << 20
"""The maximum number of bytes read from a text chunk. Longer text, such as a workflow, is of no interest."""
_MOST_TEXTS = 1000
_RAW_PROFILE = re.compile(r"Raw profile type (\w+)")


@dataclass(slots=True)
class PngTexts:
    """The metadata in the chunks of a PNG."""

    texts: dict[str, str] = field(default_factory=dict)
    """The text chunks by keyword, keeping the first one for each keyword."""
    exif: bytes = b""
    profiles: dict[str, bytes] = field(default_factory=dict)
    """The raw profiles by type: exif, iptc, xmp, APP1, 8bim."""


def read_png(data: bytes) -> PngTexts:
    """Return the metadata in all chunks, including those after the pixels. Damaged parts are left out."""
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
    """Yield the type and body of each chunk until the file ends."""
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
    """Decode text as UTF-8, which many programs write, or otherwise as Latin-1, which the specification requires."""
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
    """Decode a profile, which consists of a name, a length and hexadecimal digits. Return b"" if it is damaged."""
    _name, _, rest = text.strip().partition("\n")
    _length, _, digits = rest.strip().partition("\n")
    try:
        return binascii.unhexlify("".join(digits.split()))
    except (binascii.Error, ValueError):
        return b""

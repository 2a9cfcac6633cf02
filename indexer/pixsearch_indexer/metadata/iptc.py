"""Read IPTC metadata (Information Interchange Model, IIM 4.2) and the Photoshop resources that contain it."""

from __future__ import annotations

from collections.abc import Iterator

_UTF8 = b"\x1b%G"
_CODED_CHARACTER_SET = (1, 90)
_NAMES = {
    (2, 5): "ObjectName",
    (2, 25): "Keywords",
    (2, 55): "DateCreated",
    (2, 60): "TimeCreated",
    (2, 62): "DigitalCreationDate",
    (2, 63): "DigitalCreationTime",
    (2, 90): "City",
    (2, 92): "Sub-location",
    (2, 95): "Province-State",
    (2, 101): "Country-PrimaryLocationName",
    (2, 105): "Headline",
    (2, 120): "Caption-Abstract",
}
IPTC_RESOURCE, EXIF_RESOURCE, XMP_RESOURCE = 1028, 1058, 1060
"""Photoshop image resource IDs (Photoshop file format specification)."""


def read_iptc(data: bytes) -> dict[str, list[str]]:
    """Return the text in IIM records, keyed by exiftool's names for them. Damaged records are left out."""
    records = list(_records(data))
    is_utf8 = any(number == _CODED_CHARACTER_SET and value == _UTF8 for number, value in records)
    found: dict[str, list[str]] = {}
    for number, value in records:
        if (name := _NAMES.get(number)) is not None:
            found.setdefault(name, []).append(_decoded(value, is_utf8))
    return found


def photoshop_resources(data: bytes) -> dict[int, bytes]:
    """Return Photoshop image resources by ID, keeping the first one for each ID. Damaged resources are left out."""
    found: dict[int, bytes] = {}
    at = 0
    while len(data) - at >= 12 and data[at : at + 4] in (b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa"):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        name_ends = at + 7 + data[at + 6]
        name_ends += (name_ends - at) % 2
        size = int.from_bytes(data[name_ends : name_ends + 4], "big")
        found.setdefault(number, data[name_ends + 4 : name_ends + 4 + size])
        at = name_ends + 4 + size + size % 2
    return found


def _records(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    at = 0
    while len(data) - at >= 5 and data[at] == 0x1C:
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        begins = at + 5
        if size & 0x8000:  # an extended record: the low bits are the length of the actual size field
            begins += size & 0x7FFF
            size = int.from_bytes(data[at + 5 : begins], "big") if begins - at <= 13 else len(data)
        yield (data[at + 1], data[at + 2]), data[begins : begins + size]
        at = begins + size


def _decoded(value: bytes, is_utf8: bool) -> str:
    """Decode text as UTF-8, which most programs write without declaring it, or otherwise as cp1252."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8" if is_utf8 else "cp1252", errors="replace")

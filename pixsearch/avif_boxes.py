"""Read metadata from the boxes in AVIF and HEIF files (ISO/IEC 23008-12, 6.5 and 9; ISO/IEC 14496-12, 8.11)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from pixsearch.boxes import Box, boxes

AVIF_BRANDS = frozenset({b"avif", b"avis"})
_MOST_ITEMS = 1000
_LARGEST = 64 << 20


class Crop(NamedTuple):
    """The clean aperture: the part of the decoded picture to show."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top


@dataclass(slots=True)
class AvifFacts:
    """The metadata available without decoding the picture. Data from damaged boxes is missing."""

    size: tuple[int, int] | None = None
    """The decoded width and height, before cropping and rotation."""
    crop: Crop | None = None
    orientation: int = 1
    """The rotation and mirroring, as an EXIF orientation."""
    profile: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""


@dataclass(slots=True)
class _Meta:
    primary: int = 0
    kinds: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """The type and MIME type of each item by id. The MIME type is empty if there is none."""
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """The offset and length of each part of an item, by item id."""
    properties: list[Box] = field(default_factory=list)
    used: dict[int, list[int]] = field(default_factory=dict)
    """The 1-based indices of the properties of an item, by item id."""


def avif_facts(data: bytes) -> AvifFacts:
    """Return the metadata of the primary item."""
    facts = AvifFacts()
    try:
        meta = _meta(data)
    except (IndexError, ValueError):
        return facts
    turns, mirror = 0, None
    for number in meta.used.get(meta.primary, ()):
        if not 0 < number <= len(meta.properties):
            continue
        box = meta.properties[number - 1]
        body = data[box.begins : box.ends]
        if box.kind == b"ispe" and len(body) >= 12:
            facts.size = int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:12], "big")
        elif box.kind == b"irot" and body:
            turns = body[0] & 3
        elif box.kind == b"imir" and body:
            mirror = body[0] & 1
        elif box.kind == b"colr" and body[:4] in (b"prof", b"rICC"):
            facts.profile = body[4:]
        elif box.kind == b"clap" and len(body) >= 32 and facts.size is not None:
            facts.crop = _crop(body, facts.size)
    facts.orientation = _ORIENTATIONS[turns, mirror]
    for item, (kind, mime) in meta.kinds.items():
        if kind == b"Exif" and not facts.exif:
            exif = _item(data, meta, item)
            facts.exif = exif[4 + int.from_bytes(exif[:4], "big") :]
        elif kind == b"mime" and mime == b"application/rdf+xml" and not facts.xmp:
            facts.xmp = _item(data, meta, item)
    return facts


_ORIENTATIONS = {
    # Keys: counterclockwise quarter turns, then the mirroring: None, 0 (top to bottom) or 1 (left to right).
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (1, 0): 5,
    (2, 0): 2,
    (3, 0): 7,
    (0, 1): 2,
    (1, 1): 7,
    (2, 1): 4,
    (3, 1): 5,
}


def _crop(body: bytes, size: tuple[int, int]) -> Crop | None:
    """Return the crop rectangle of a clean aperture box (ISO/IEC 14496-12, 12.1.4.1), or None if it is invalid."""
    numbers = [int.from_bytes(body[at : at + 4], "big", signed=at in (16, 24)) for at in range(0, 32, 4)]
    if 0 in numbers[1::2]:
        return None
    width, height, across, down = (top / bottom for top, bottom in zip(numbers[::2], numbers[1::2], strict=True))
    left = (size[0] - width) / 2 + across
    top = (size[1] - height) / 2 + down
    crop = Crop(*(round(edge) for edge in (left, top, left + width, top + height)))
    is_inside = 0 <= crop.left < crop.right <= size[0] and 0 <= crop.top < crop.bottom <= size[1]
    return crop if is_inside else None


def _meta(data: bytes) -> _Meta:
    meta = _Meta()
    for outer in boxes(data):
        if outer.kind != b"meta":
            continue
        for box in boxes(data, outer.begins + 4, outer.ends):
            body = data[box.begins : box.ends]
            if box.kind == b"pitm":
                meta.primary = int.from_bytes(body[4:6] if body[0] == 0 else body[4:8], "big")
            elif box.kind == b"iinf":
                _read_kinds(data, box, meta)
            elif box.kind == b"iloc":
                _read_extents(body, meta)
            elif box.kind == b"iprp":
                for part in boxes(data, box.begins, box.ends):
                    if part.kind == b"ipco":
                        meta.properties = list(boxes(data, part.begins, part.ends))
                    elif part.kind == b"ipma":
                        _read_uses(data[part.begins : part.ends], meta)
        break
    return meta


def _read_kinds(data: bytes, box: Box, meta: _Meta) -> None:
    begins = box.begins + (6 if data[box.begins] == 0 else 8)
    for entry in boxes(data, begins, box.ends):
        body = data[entry.begins : entry.ends]
        if entry.kind == b"infe" and body[0] in (2, 3) and len(meta.kinds) < _MOST_ITEMS:
            wide = 2 if body[0] == 2 else 4
            kind = body[6 + wide : 10 + wide]
            names = body[10 + wide :].split(b"\0")
            meta.kinds[int.from_bytes(body[4 : 4 + wide], "big")] = kind, names[1] if len(names) > 1 else b""


def _read_extents(body: bytes, meta: _Meta) -> None:
    version = body[0]
    offset_size, length_size, base_size, index_size = body[4] >> 4, body[4] & 15, body[5] >> 4, body[5] & 15
    wide = 4 if version == 2 else 2
    at = 6 + wide
    for _ in range(min(int.from_bytes(body[6:at], "big"), _MOST_ITEMS)):
        item = int.from_bytes(body[at : at + wide], "big")
        at += wide
        method = 0
        if version in (1, 2):
            method = body[at + 1] & 15
            at += 2
        at += 2
        base = int.from_bytes(body[at : at + base_size], "big")
        at += base_size
        parts = int.from_bytes(body[at : at + 2], "big")
        at += 2
        found = []
        for _ in range(min(parts, _MOST_ITEMS)):
            at += index_size if version in (1, 2) else 0
            offset = int.from_bytes(body[at : at + offset_size], "big")
            length = int.from_bytes(body[at + offset_size : at + offset_size + length_size], "big")
            at += offset_size + length_size
            found.append((base + offset, length))
        if method == 0:
            meta.extents[item] = found
        if at > len(body):
            return


def _read_uses(body: bytes, meta: _Meta) -> None:
    version, wide_numbers = body[0], body[3] & 1
    wide = 2 if version == 0 else 4
    at = 8
    for _ in range(min(int.from_bytes(body[4:8], "big"), _MOST_ITEMS)):
        item = int.from_bytes(body[at : at + wide], "big")
        at += wide
        count = body[at]
        at += 1
        used = []
        for _ in range(count):
            size = 2 if wide_numbers else 1
            number = int.from_bytes(body[at : at + size], "big")
            used.append(number & (0x7FFF if wide_numbers else 0x7F))
            at += size
        meta.used.setdefault(item, []).extend(used)


def _item(data: bytes, meta: _Meta, item: int) -> bytes:
    return b"".join(data[begins : begins + length] for begins, length in meta.extents.get(item, ()))[:_LARGEST]

"""Read XMP from a JPEG: the main segment and its extensions (XMP specification, part 3, 1.1.3)."""

from __future__ import annotations

from collections.abc import Iterator

_APP1, _START_OF_SCAN, _END_OF_IMAGE, _FILL = 0xE1, 0xDA, 0xD9, 0xFF
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"
_EXTENSION_HEAD = b"http://ns.adobe.com/xmp/extension/\0"
_GUID_BYTES = 32


def xmp_packets(data: bytes) -> list[bytes]:
    """Return the XMP packets of a JPEG, then the extensions that they refer to. Damaged parts are left out."""
    packets: list[bytes] = []
    extended: dict[bytes, dict[int, bytes]] = {}
    for marker, body in _segments(data):
        if marker != _APP1:
            continue
        if body.startswith(XMP_HEAD):
            packets.append(body[len(XMP_HEAD) :])
        elif body.startswith(_EXTENSION_HEAD):
            guid, rest = _split(body[len(_EXTENSION_HEAD) :], _GUID_BYTES)
            _length, rest = _split(rest, 4)
            offset, part = _split(rest, 4)
            extended.setdefault(guid, {}).setdefault(int.from_bytes(offset, "big"), part)
    named = [guid for guid in extended if any(guid in packet for packet in packets)]
    return packets + [b"".join(part for _, part in sorted(extended[guid].items())) for guid in named]


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker and body of each segment before the pixels, up to the first damaged one."""
    at = 2
    while data[:2] == b"\xff\xd8" and len(data) - at >= 4 and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _FILL:
            at += 1
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        ends = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield marker, data[at + 4 : ends]
        at = max(ends, at + 4)


def _split(data: bytes, size: int) -> tuple[bytes, bytes]:
    return data[:size], data[size:]

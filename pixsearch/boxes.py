"""Parse the boxes that make up JPEG 2000, JPEG XL, AVIF and HEIC files (ISO/IEC 14496-12, 4.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Box(NamedTuple):
    """The type of a box and the byte range of its content."""

    kind: bytes
    begins: int
    ends: int


def boxes(data: bytes, begins: int = 0, ends: int | None = None) -> Iterator[Box]:
    """Yield the top-level boxes in a byte range. Stop at the first damaged box."""
    ends = len(data) if ends is None else min(ends, len(data))
    while ends - begins >= 8:
        size, kind, head = int.from_bytes(data[begins : begins + 4], "big"), data[begins + 4 : begins + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[begins + 8 : begins + 16], "big"), 16
        elif size == 0:  # the box extends to the end of the file
            size = ends - begins
        if size < head:
            return
        yield Box(kind, begins + head, min(begins + size, ends))
        begins += size

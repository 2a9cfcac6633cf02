"""Parse GPS coordinates in the formats that programs write (WGS 84)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

_NUMBER = r"[+-]?\d{1,20}(?:\.\d{0,40}|/\d{1,20})?"
_BETWEEN = "\\s*(?:[,\\s°'\u2032]|deg)\\s*"
_WRITTEN = re.compile(
    rf"\s*(?:([NSEWnsew])\s*)?({_NUMBER})(?:{_BETWEEN}({_NUMBER})(?:{_BETWEEN}({_NUMBER}))?)?[\s\"'°\u2032\u2033]*([NSEWnsew])?[A-Za-z]*\s*"
)
_LONGEST = 100


class Gps(NamedTuple):
    """A position in degrees. North and east are positive."""

    latitude: float
    longitude: float


def read_gps(latitude: object, north: object, longitude: object, east: object) -> Gps | None:
    """Parse a pair of coordinates. Return None if one is missing or out of range, or if both are exactly 0.

    Args:
        latitude, longitude: a number; a list of degrees and optional minutes and seconds (EXIF 2.32, 4.6.6); or text
            such as 48,51.396N (XMP specification, part 3, GPSCoordinate), S48.8566 or 48/1,51/1,2376/100.
        north, east: the hemisphere as text that begins with N, S, E or W; None if it is unknown.
    """
    found = _degrees(latitude, north, "S", 90), _degrees(longitude, east, "W", 180)
    if found[0] is None or found[1] is None or found == (0.0, 0.0):  # programs write 0,0 for unknown positions
        return None
    return Gps(found[0], found[1])


def _degrees(value: object, reference: object, negative: str, most: float) -> float | None:
    side = reference.strip("\0 ")[:1].upper() if isinstance(reference, str) else ""
    if isinstance(value, str):
        if len(value) > _LONGEST or (written := _WRITTEN.fullmatch(value)) is None:
            return None
        before, *numbers, after = written.groups()
        value = [_number(part) for part in numbers if part is not None]
        side = (after or before or side).upper()
    try:
        parts = [float(part) for part in (value if isinstance(value, Sequence) else [value])]  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    if not 1 <= len(parts) <= 3 or not all(map(math.isfinite, parts)):
        return None
    size = float(sum(abs(part) / 60**power for power, part in enumerate(parts)))
    if size > most:
        return None
    # The sign is ignored if the hemisphere is known, because some programs write both.
    is_negative = side == negative if side in "NSEW" and side else math.copysign(1, parts[0]) < 0
    return -size if is_negative else size


def _number(text: str) -> float:
    """Parse a number or a fraction. Return NaN if the divisor is zero."""
    above, _, below = text.partition("/")
    divisor = float(below or 1)
    return float(above) / divisor if divisor else math.nan

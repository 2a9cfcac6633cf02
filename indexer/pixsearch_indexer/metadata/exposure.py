"""The exposure of a photo. It is read from the file when the photo is opened, and not stored in libraries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

_MOST_ISO = 65_534
"""The maximum ISO value. Larger values do not fit in the tag, which then contains 65,535 (Exif 2.32, tag 34855)."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """The aperture, shutter speed, ISO and focal length. Values that are missing from the file are None."""

    aperture: float | None = None
    """The f-number."""
    shutter_s: float | None = None
    iso: int | None = None
    focal_length_mm: float | None = None
    focal_length_35mm: int | None = None
    """The focal length in millimetres that gives the same angle of view on 35 mm film."""


def exposure_of(facts: Mapping[str, object]) -> Exposure:
    """Return the exposure, taking each value from EXIF, or from XMP if EXIF does not have it."""
    iso = _positive(facts, "EXIF ISOSpeedRatings", "exifEX:PhotographicSensitivity", "exif:ISOSpeedRatings")
    film = _positive(facts, "EXIF FocalLengthIn35mmFilm", "exif:FocalLengthIn35mmFilm")
    return Exposure(
        aperture=_positive(facts, "EXIF FNumber", "exif:FNumber"),
        shutter_s=_positive(facts, "EXIF ExposureTime", "exif:ExposureTime"),
        iso=None if iso is None or iso > _MOST_ISO else round(iso),
        focal_length_mm=_positive(facts, "EXIF FocalLength", "exif:FocalLength"),
        focal_length_35mm=None if film is None else round(film),
    )


def _positive(facts: Mapping[str, object], *names: str) -> float | None:
    """Return the first of these facts that is a positive number. Cameras write 0 or 0/0 for unknown values."""
    for name in names:
        value = facts.get(name)
        first = next(iter(value), None) if isinstance(value, list | tuple) else value
        try:
            # XMP stores fractions as text. Other text is not passed to Fraction, which would expand 1e999999999.
            number = float(Fraction(first) if isinstance(first, str) and "/" in first else first)  # type: ignore[arg-type]
        except (TypeError, ValueError, ArithmeticError):
            continue
        if 0 < number < math.inf:
            return number
    return None

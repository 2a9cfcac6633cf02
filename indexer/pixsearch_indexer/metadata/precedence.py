"""Choose the source of each field within a picture's own metadata, or within a sidecar.

`docs/guide.md` shows the order as a table. `pixsearch.metadata` defines the order of precedence of the picture itself,
its sidecar, its Takeout file and its file name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from pixsearch.metadata import DateKind, Description
from pixsearch_indexer.metadata.dates import read_date, read_gps_time
from pixsearch_indexer.metadata.gps import Gps, read_gps
from pixsearch_indexer.metadata.words import clean_caption, clean_list, clean_text, last_part

Facts = Mapping[str, object]
"""Metadata values by source and name: EXIF tags as `EXIF Name`, XMP properties with their usual prefix, IPTC names as
`IPTC Name`, PNG keywords in lower case as `PNG keyword`."""

TITLE = ("dc:title", "IPTC ObjectName", "EXIF XPTitle", "PNG title", "photoshop:Headline", "IPTC Headline")
CAPTION = (
    "dc:description",
    "IPTC Caption-Abstract",
    "EXIF ImageDescription",
    "EXIF UserComment",
    "EXIF XPComment",
    "exif:UserComment",
    "EXIF XPSubject",
    "PNG description",
    "PNG comment",
    "acdsee:caption",
)
LENS = ("EXIF LensModel", "exifEX:LensModel", "aux:Lens")
PEOPLE = ("Iptc4xmpExt:PersonInImage", "people")


class DateSource(NamedTuple):
    """A metadata field with a date, and the kind of date that it contains."""

    read: Callable[[Facts], datetime | None]
    kind: DateKind = "taken"


def _written(name: str, zone: str = "") -> Callable[[Facts], datetime | None]:
    return lambda facts: read_date(_first_text(facts.get(name)), facts.get(zone))


def _iptc(day: str, time: str) -> Callable[[Facts], datetime | None]:
    def read(facts: Facts) -> datetime | None:
        date, clock = (_first_text(facts.get(name)) or "" for name in (day, time))
        return read_date(f"{date} {clock}") or read_date(date)

    return read


DATES = {
    "EXIF DateTimeOriginal": DateSource(_written("EXIF DateTimeOriginal", "EXIF OffsetTimeOriginal")),
    "XMP exif:DateTimeOriginal": DateSource(_written("exif:DateTimeOriginal")),
    "XMP photoshop:DateCreated": DateSource(_written("photoshop:DateCreated")),
    "IPTC DateCreated, TimeCreated": DateSource(_iptc("IPTC DateCreated", "IPTC TimeCreated")),
    "EXIF DateTimeDigitized": DateSource(_written("EXIF DateTimeDigitized", "EXIF OffsetTimeDigitized")),
    "XMP exif:DateTimeDigitized": DateSource(_written("exif:DateTimeDigitized")),
    "XMP xmp:CreateDate": DateSource(_written("xmp:CreateDate")),
    "PNG Creation Time": DateSource(_written("PNG creation time")),
    "EXIF GPSDateStamp, GPSTimeStamp": DateSource(
        lambda facts: read_gps_time(facts.get("EXIF GPSDateStamp"), facts.get("EXIF GPSTimeStamp"))
    ),
    "XMP exif:GPSTimeStamp": DateSource(_written("exif:GPSTimeStamp")),
    "EXIF DateTime": DateSource(_written("EXIF DateTime", "EXIF OffsetTime"), "edited"),
    "XMP tiff:DateTime": DateSource(_written("tiff:DateTime"), "edited"),
}
"""The sources of dates in order of precedence."""

GPS_SOURCES: tuple[Callable[[Facts], Gps | None], ...] = (
    lambda facts: read_gps(
        facts.get("EXIF GPSLatitude"),
        facts.get("EXIF GPSLatitudeRef"),
        facts.get("EXIF GPSLongitude"),
        facts.get("EXIF GPSLongitudeRef"),
    ),
    lambda facts: read_gps(
        _first_text(facts.get("exif:GPSLatitude")),
        _first_text(facts.get("exif:GPSLatitudeRef")),
        _first_text(facts.get("exif:GPSLongitude")),
        _first_text(facts.get("exif:GPSLongitudeRef")),
    ),
)
"""The sources of coordinates in order of precedence."""

KEYWORDS: tuple[tuple[str, Callable[[object], object]], ...] = (
    ("dc:subject", str),
    ("IPTC Keywords", str),
    ("lr:hierarchicalSubject", lambda path: last_part(path, "|")),
    ("digiKam:TagsList", lambda path: last_part(path, "/|")),
    ("MicrosoftPhoto:LastKeywordXMP", lambda path: last_part(path, "/|")),
    ("MicrosoftPhoto:LastKeywordIPTC", lambda path: last_part(path, "/|")),
    ("acdsee:keywords", str),
    ("mediapro:CatalogSets", lambda path: last_part(path, "|")),
)
"""The sources of keywords, each with a function that reads a keyword. All sources are used. Only the last part of a
hierarchical keyword is kept."""

LOCATIONS = (
    ("Iptc4xmpExt:LocationCreated/", ("Sublocation", "City", "ProvinceState", "CountryName")),
    ("", ("Iptc4xmpCore:Location", "photoshop:City", "photoshop:State", "photoshop:Country")),
    ("Iptc4xmpExt:LocationShown/", ("Sublocation", "City", "ProvinceState", "CountryName")),
    ("IPTC ", ("Sub-location", "City", "Province-State", "Country-PrimaryLocationName")),
)
"""The sources of place names in order of precedence, each with its field names from the street to the country."""

_PEOPLE_TAGS = ("people", "personen", "personnes", "personas", "persone")
_WORD = re.compile(r"[^\W_]+")
_STARS = ((1, 1), (25, 2), (50, 3), (75, 4), (99, 5))
"""The minimum rating percentage, as written by Microsoft programs, for each number of stars."""


def description_of(facts: Facts) -> Description:
    """Return the description of a photo. Each field comes from the first source that has it."""
    taken_at, date_kind = _date(facts)
    gps = next(filter(None, (read(facts) for read in GPS_SOURCES)), None)
    return Description(
        taken_at=taken_at,
        date_kind=date_kind,
        camera=_camera(facts),
        lens=_first(facts, LENS, clean_text),
        latitude=None if gps is None else gps.latitude,
        longitude=None if gps is None else gps.longitude,
        title=_first(facts, TITLE, clean_caption),
        caption=_first(facts, CAPTION, clean_caption),
        keywords=clean_list(_keywords(facts)),
        people=clean_list(_people(facts)),
        rating=_rating(facts),
        location=_location(facts),
    )


def _date(facts: Facts) -> tuple[datetime | None, DateKind | None]:
    for source in DATES.values():
        if (date := source.read(facts)) is not None:
            return date, source.kind
    return None, None


def _first(facts: Facts, names: Iterable[str], clean: Callable[[object], str | None]) -> str | None:
    for name in names:
        for value in _listed(facts.get(name)):
            if text := clean(value):
                return text
    return None


def _first_text(value: object) -> str | None:
    return next((text for text in _listed(value) if isinstance(text, str) and text.strip("\0 ")), None)


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else () if value is None else (value,)


def _keywords(facts: Facts) -> Iterator[object]:
    for name, read in KEYWORDS:
        yield from map(read, _listed(facts.get(name)))
    for name in ("EXIF XPKeywords", "PNG keywords"):
        for value in _listed(facts.get(name)):
            yield from str(value).split(";")


def _people(facts: Facts) -> Iterator[object]:
    for name in PEOPLE:
        yield from _listed(facts.get(name))
    for path in _listed(facts.get("digiKam:TagsList")):  # digiKam stores people as tags
        first, *_, name = str(path).split("/") if "/" in str(path) else ("", str(path))
        if first.lower() in _PEOPLE_TAGS:
            yield name


def _camera(facts: Facts) -> str | None:
    """Return the maker and model. The maker is left out if the model begins with a word from it, as in KODAK DC240."""
    for source in ("EXIF ", "tiff:"):
        maker, model = (_first(facts, [source + name], clean_text) for name in ("Make", "Model"))
        if maker and model and (first := _WORD.match(model.lower())) and first[0] in _WORD.findall(maker.lower()):
            return model
        if maker or model:
            return " ".join(filter(None, (maker, model)))
    return None


def _rating(facts: Facts) -> int | None:
    """Return a rating from 1 to 5, or -1 for a rejected photo. Return None if it is missing or 0 (unrated)."""
    for name in ("xmp:Rating", "EXIF Rating", "acdsee:rating"):
        stars = _number(facts.get(name))
        if stars is not None and -1 <= stars <= 5 and round(stars) != 0:
            return round(stars)
    for name in ("MicrosoftPhoto:Rating", "EXIF RatingPercent"):
        percent = _number(facts.get(name))
        if percent is not None and 1 <= percent <= 100:
            return max(stars for least, stars in _STARS if percent >= least)
    return None


def _number(value: object) -> float | None:
    try:
        return float(next(iter(_listed(value)), None))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None


def _location(facts: Facts) -> str | None:
    for source, names in LOCATIONS:
        if parts := clean_list(_first_text(facts.get(source + name)) for name in names):
            return ", ".join(parts)
    return None

"""Photo metadata, and the rules for merging it from the picture file itself, sidecars and the file name.

Metadata in the picture file belongs to the content, which copies share. Metadata from sidecars and the file name
belongs to a single photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import chain
from typing import Any, Literal, TypeAlias

DateKind: TypeAlias = Literal["taken", "edited", "guessed"]
"""The meaning of a date: when the photo was taken, when it was last edited, or a guess from the file name."""


@dataclass(frozen=True, slots=True)
class Description:
    """The metadata of a photo from a single source. See `Metadata` for the fields."""

    taken_at: datetime | None = None
    date_kind: DateKind | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    rating: int | None = None
    location: str | None = None
    note: str | None = None

    def completed_by(self, other: Description) -> Description:
        """Return this description with missing fields filled in from another one."""
        missing = {one.name: getattr(other, one.name) for one in fields(self) if not getattr(self, one.name)}
        if self.taken_at is not None:  # keep a date with its kind, and latitude with longitude
            missing.pop("date_kind", None)
        if self.latitude is not None:
            missing = {name: value for name, value in missing.items() if name not in ("latitude", "longitude")}
        return replace(self, **missing)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of a picture. Width and height refer to the upright picture at full size."""

    format: str
    width: int
    height: int
    taken_at: datetime | None = None
    """The date and time, with a time zone only if the file contains one."""
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    """The latitude in degrees (WGS 84). North is positive."""
    longitude: float | None = None
    """The longitude in degrees (WGS 84). East is positive."""
    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    date_kind: DateKind | None = None
    """The kind of date in `taken_at`; None if there is no date."""
    people: tuple[str, ...] = ()
    """The names of people in the picture."""
    rating: int | None = None
    """The rating from 1 to 5 stars, -1 for a rejected photo, or None if there is no rating."""
    location: str | None = None
    """The location in words, from the street to the country."""
    note: str | None = None
    """A message about metadata that could not be read."""
    place: str | None = None
    """The nearest town in GeoNames, with region and country. Only set for photos in a library that have coordinates."""
    share_decoded: float = 1.0
    """The fraction of pixel rows that could be decoded; less than 1 for a truncated file."""
    writing: tuple[str, ...] | None = None
    """The lines of text found in the picture by OCR; None if OCR has not been run on it."""

    @property
    def pixels_and_date(self) -> tuple[int, bool]:
        """A sort key for near-duplicates: the number of pixels, and whether the date is reliable. Higher is better."""
        return self.width * self.height, self.taken_at is not None and self.date_kind != "guessed"


METADATA_VERSION = 2
"""The version of the rules for reading and merging metadata.

Increment it whenever the rules change, here or in `pixsearch_indexer.metadata`. The next run then rereads the metadata
of all photos with an older version, without encoding anything."""

Layer = Literal["sidecar", "takeout", "name"]
Source = Literal["sidecar", "content", "takeout", "name"]

DATES: tuple[tuple[Source, str], ...] = (
    ("sidecar", "taken"),
    ("content", "taken"),
    ("takeout", "taken"),
    ("sidecar", "edited"),
    ("content", "edited"),
    ("name", "guessed"),
)
"""The sources and kinds of dates, in order of precedence."""

FIRST: Mapping[str, tuple[Source, ...]] = {
    "camera": ("content", "sidecar"),
    "lens": ("content", "sidecar"),
    "title": ("sidecar", "content"),
    "caption": ("sidecar", "takeout", "content"),
    "rating": ("sidecar", "content"),
    "location": ("sidecar", "content"),
}
"""The sources of each single-valued field, in order of precedence."""

GPS: tuple[Source, ...] = ("sidecar", "content", "takeout")
"""The sources of the coordinates, in order of precedence. Latitude and longitude always come from the same source."""

ALL: Mapping[str, tuple[Source, ...]] = {
    "keywords": ("sidecar", "content"),
    "people": ("sidecar", "content", "takeout"),
}
"""The sources of each multi-valued field. Values from all sources are merged."""


def merged(content: Metadata, beside: Mapping[Layer, Description]) -> Metadata:
    """Return the metadata of a photo, merged from its content, its sidecars and its file name."""
    if not beside:
        return content
    sources: dict[Source, Description | Metadata] = {"content": content}
    sources.update(beside)  # type: ignore[arg-type]  # every Layer is a Source
    values: dict[str, Any] = {}
    for source, kind in DATES:
        if source in sources and sources[source].date_kind == kind:
            values |= {"taken_at": sources[source].taken_at, "date_kind": kind}
            break
    for name, order in FIRST.items():
        values[name] = next((value for value in _values(sources, order, name) if value is not None), None)
    for source in GPS:
        if source in sources and sources[source].latitude is not None:
            values |= {"latitude": sources[source].latitude, "longitude": sources[source].longitude}
            break
    for name, order in ALL.items():
        values[name] = tuple(dict.fromkeys(chain.from_iterable(_values(sources, order, name))))
    values["note"] = "; ".join(filter(None, _values(sources, ("content", "sidecar", "takeout"), "note"))) or None
    return replace(content, **values)


def _values(sources: Mapping[Source, Description | Metadata], order: tuple[Source, ...], name: str) -> Iterator[Any]:
    return (getattr(sources[source], name) for source in order if source in sources)

"""The metadata of a picture, and the order of their sources for each field: its own bytes, sidecars, or its name.

Metadata in the bytes belong to the content, which copies share; those from sidecars and the name belong to one photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import chain
from typing import Any, Literal, TypeAlias

DateKind: TypeAlias = Literal["taken", "edited", "guessed"]
"""The kind of a date: when the photo was taken, or else when it was last edited, or else a guess from the file's name.
"""


@dataclass(frozen=True, slots=True)
class Description:
    """The metadata of a photo from one source: its own bytes, a sidecar, or its name. See `Metadata` for the fields."""

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
        """Return this description with its missing fields from another one."""
        missing = {one.name: getattr(other, one.name) for one in fields(self) if not getattr(self, one.name)}
        if self.taken_at is not None:  # a date and its kind belong together, as do latitude and longitude
            missing.pop("date_kind", None)
        if self.latitude is not None:
            missing = {name: value for name, value in missing.items() if name not in ("latitude", "longitude")}
        return replace(self, **missing)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of a picture. Width and height are those of the upright picture in full size."""

    format: str
    width: int
    height: int
    taken_at: datetime | None = None
    """The date, with a time zone only if the file has one."""
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    """The latitude in degrees, north positive (WGS 84)."""
    longitude: float | None = None
    """The longitude in degrees, east positive."""
    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    date_kind: DateKind | None = None
    """The kind of `taken_at`; None without a date."""
    people: tuple[str, ...] = ()
    """The names of the people in the picture."""
    rating: int | None = None
    """The rating from 1 to 5 stars, or -1 for a rejected photo; None without a rating."""
    location: str | None = None
    """The place where it was taken, in words, from the street to the country."""
    note: str | None = None
    """A message about metadata that could not be read."""
    place: str | None = None
    """The nearest town with its region and country, by GeoNames: only for photos in a library that have coordinates."""
    share_decoded: float = 1.0
    """The share of the picture's rows that could be decoded; less than 1 for a truncated file."""
    writing: tuple[str, ...] | None = None
    """The lines of text in the picture; None until it has been read for text."""

    @property
    def pixels_and_date(self) -> tuple[int, bool]:
        """The sort key of near-duplicates, the best of which is the greatest: the pixels, and whether it has a date."""
        return self.width * self.height, self.taken_at is not None and self.date_kind != "guessed"


METADATA_VERSION = 2
"""The version of the rules by which metadata are read and merged. It grows with each change of them, here or in
`pixsearch_indexer.metadata`. The next run reads metadata of an older version again, without encoding anything."""

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
"""The sources of the date with its kinds; the first that exists is taken."""

FIRST: Mapping[str, tuple[Source, ...]] = {
    "camera": ("content", "sidecar"),
    "lens": ("content", "sidecar"),
    "title": ("sidecar", "content"),
    "caption": ("sidecar", "takeout", "content"),
    "rating": ("sidecar", "content"),
    "location": ("sidecar", "content"),
}
"""The sources of fields of which the first value is taken."""

GPS: tuple[Source, ...] = ("sidecar", "content", "takeout")
"""The sources of latitude and longitude, the first of which is taken for both."""

ALL: Mapping[str, tuple[Source, ...]] = {
    "keywords": ("sidecar", "content"),
    "people": ("sidecar", "content", "takeout"),
}
"""The sources of fields whose values are merged."""


def merged(content: Metadata, beside: Mapping[Layer, Description]) -> Metadata:
    """Return the metadata of a photo, merged from its content, its sidecars and its name."""
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

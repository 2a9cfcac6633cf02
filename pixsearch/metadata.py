"""What is known of a picture, and which source wins for each field: its own bytes, a photo's sidecars, or its name.

What the bytes say belongs to the content, which copies share; what lies beside a photo, or is its name, to that photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from itertools import chain
from typing import Any, Literal, TypeAlias

DateKind: TypeAlias = Literal["taken", "edited", "guessed"]
"""Of when the photo was taken; of when it was last edited, where nothing says the former; read off the file's name."""


@dataclass(frozen=True, slots=True)
class Description:
    """What one source says of a photo: its own bytes, a file beside it, or its name. See `Metadata` for the fields."""

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
        """Return this description, with what only the other one says."""
        missing = {one.name: getattr(other, one.name) for one in fields(self) if not getattr(self, one.name)}
        if self.taken_at is not None:  # a date and what it is belong together, and so do the two halves of a place
            missing.pop("date_kind", None)
        if self.latitude is not None:
            missing = {name: value for name, value in missing.items() if name not in ("latitude", "longitude")}
        return replace(self, **missing)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known about a picture. Width and height are those of the upright picture, in full size."""

    format: str
    width: int
    height: int
    taken_at: datetime | None = None
    """With a zone only where the file names one."""
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    """Degrees, north positive (WGS 84)."""
    longitude: float | None = None
    """Degrees, east positive."""
    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    date_kind: DateKind | None = None
    """What `taken_at` is the time of; None where there is none."""
    people: tuple[str, ...] = ()
    """Who is named as being in the picture."""
    rating: int | None = None
    """From 1 to 5 stars, or -1 for a photo that was rejected; None where nobody rated it."""
    location: str | None = None
    """Where it was taken, in words, from the street to the country."""
    note: str | None = None
    """What of the metadata could not be read."""
    place: str | None = None
    """The nearest town with its region and country, by GeoNames: known of photos in a library that have coordinates."""
    share_decoded: float = 1.0
    """Of the picture's rows; less than 1 for a file that is cut short and was indexed as far as it goes."""
    writing: tuple[str, ...] | None = None
    """The lines of text in the picture; None while it has not been read for them."""

    @property
    def pixels_and_date(self) -> tuple[int, bool]:
        """What makes one of several pictures that look the same the best: its pixels, and whether it has a date."""
        return self.width * self.height, self.taken_at is not None and self.date_kind != "guessed"


METADATA_VERSION = 2
"""Of the rules by which metadata are read and merged: one more with each change of them, here or in
`pixsearch_indexer.metadata`. Where it is older, the next run reads a photo's metadata again, and encodes nothing."""

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
"""The first of these that there is is the photo's date, and says what it is."""

FIRST: Mapping[str, tuple[Source, ...]] = {
    "camera": ("content", "sidecar"),
    "lens": ("content", "sidecar"),
    "title": ("sidecar", "content"),
    "caption": ("sidecar", "takeout", "content"),
    "rating": ("sidecar", "content"),
    "location": ("sidecar", "content"),
}
"""The first source that says something."""

PLACE: tuple[Source, ...] = ("sidecar", "content", "takeout")
"""As above, latitude and longitude together."""

ALL: Mapping[str, tuple[Source, ...]] = {
    "keywords": ("sidecar", "content"),
    "people": ("sidecar", "content", "takeout"),
}
"""What any source says, each once."""


def merged(content: Metadata, beside: Mapping[Layer, Description]) -> Metadata:
    """Return what is known of a photo: what its content says, and what the files beside it and its name say."""
    if not beside:
        return content
    sources: dict[Source, Description | Metadata] = {"content": content}
    sources.update(beside)  # type: ignore[arg-type]  # whose names are among those of Source
    values: dict[str, Any] = {}
    for source, kind in DATES:
        if source in sources and sources[source].date_kind == kind:
            values |= {"taken_at": sources[source].taken_at, "date_kind": kind}
            break
    for name, order in FIRST.items():
        values[name] = next((value for value in _values(sources, order, name) if value is not None), None)
    for source in PLACE:
        if source in sources and sources[source].latitude is not None:
            values |= {"latitude": sources[source].latitude, "longitude": sources[source].longitude}
            break
    for name, order in ALL.items():
        values[name] = tuple(dict.fromkeys(chain.from_iterable(_values(sources, order, name))))
    values["note"] = "; ".join(filter(None, _values(sources, ("content", "sidecar", "takeout"), "note"))) or None
    return replace(content, **values)


def _values(sources: Mapping[Source, Description | Metadata], order: tuple[Source, ...], name: str) -> Iterator[Any]:
    return (getattr(sources[source], name) for source in order if source in sources)

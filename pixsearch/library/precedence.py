"""Which source wins for each field: a picture's own bytes, a photo's sidecars, or its name.

What the bytes say belongs to the content, which copies share; what lies beside a photo, or is its name, to that photo.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any, Literal

from pixsearch.library.records import Description, Metadata

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

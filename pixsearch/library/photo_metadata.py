"""What is known of each photo: what its content says, and what a file beside it or its name adds to that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func

from pixsearch.database.schema import CONTENTS, DESCRIPTIONS, PHOTOS
from pixsearch.metadata import Description, Metadata

PHOTOS_AND_METADATA = PHOTOS.join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id).outerjoin(
    DESCRIPTIONS, DESCRIPTIONS.c.photo_id == PHOTOS.c.id
)

NAMES = (*(field.name for field in fields(Description)), "place")
"""The columns that a description has in common with a content."""
_OF_CONTENT = [(field.name, CONTENTS.c.keys().index(field.name)) for field in fields(Metadata)]
_OF_DESCRIPTION = [(name, DESCRIPTIONS.c.keys().index(name)) for name in NAMES]


def known(name: str) -> ColumnElement[Any]:
    """Return what is known of a photo by the name of the column; for a statement on PHOTOS_AND_METADATA."""
    # A description is merged: where it says nothing, the content says nothing either.
    return func.coalesce(DESCRIPTIONS.c[name], CONTENTS.c[name], type_=CONTENTS.c[name].type)


def metadata_of(content: Sequence[Any], description: Sequence[Any] | None = None) -> Metadata:
    """Return what a row of `contents` says of a photo, and the row of `descriptions` where the photo has one."""
    values = {name: content[index] for name, index in _OF_CONTENT}
    if description is not None:
        values |= {name: value for name, index in _OF_DESCRIPTION if (value := description[index]) is not None}
    values["taken_at"] = datetime.fromisoformat(values["taken_at"]) if values["taken_at"] else None
    values["keywords"], values["people"] = tuple(values["keywords"]), tuple(values["people"])
    values["writing"] = None if values["writing"] is None else tuple(values["writing"])
    return Metadata(**values)


def _town(latitude: float, longitude: float) -> str | None:
    from pixsearch.gazetteer.gazetteer import nearest, words  # numpy, for those who write

    found = nearest(latitude, longitude)
    return None if found is None else words(found)


def _is_within(number: float | None, least: float, most: float) -> bool:
    """Whether there is a number, and it is in its range, as neither an infinite one nor NaN is."""
    return number is not None and least <= number <= most


def metadata_values(metadata: Metadata) -> dict[str, object]:
    """Return the values of the columns of `contents` that metadata fill; without numbers that cannot be, and with the
    place where the coordinates are."""
    values = asdict(metadata)
    if not (_is_within(metadata.latitude, -90, 90) and _is_within(metadata.longitude, -180, 180)):
        values["latitude"] = values["longitude"] = None
    if not _is_within(metadata.rating, -1, 5):
        values["rating"] = None
    if not _is_within(metadata.share_decoded, 0, 1):
        values["share_decoded"] = 1.0
    values["taken_at"] = metadata.taken_at and metadata.taken_at.isoformat()
    values["keywords"], values["people"] = list(metadata.keywords), list(metadata.people)
    values["place"] = None if values["latitude"] is None else _town(values["latitude"], values["longitude"])
    values["writing"] = None if metadata.writing is None else list(metadata.writing)
    return values

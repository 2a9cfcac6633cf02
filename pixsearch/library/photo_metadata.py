"""What is known of each photo: what its content says, and what a file beside it or its name adds to that."""

from __future__ import annotations

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func

from pixsearch.library.records import Description, Metadata
from pixsearch.library.schema import CONTENTS, DESCRIPTIONS, PHOTOS

PHOTOS_AND_METADATA = PHOTOS.join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id).outerjoin(
    DESCRIPTIONS, DESCRIPTIONS.c.photo_id == PHOTOS.c.id
)

NAMES = tuple(field.name for field in fields(Description))
"""The columns that a description has in common with a content."""


def known(name: str) -> ColumnElement[Any]:
    """Return what is known of a photo by the name of the column; for a statement on PHOTOS_AND_METADATA."""
    # A description is merged: where it says nothing, the content says nothing either.
    return func.coalesce(DESCRIPTIONS.c[name], CONTENTS.c[name], type_=CONTENTS.c[name].type)


def metadata_columns() -> list[ColumnElement[Any]]:
    """Return what `metadata_of` needs of a photo, for a statement on PHOTOS_AND_METADATA."""
    of_content = [CONTENTS.c[name] for name in ("format", "width", "height", "share_decoded")]
    return [*of_content, *(known(name).label(name) for name in NAMES)]


def metadata_of(row: Row[*tuple[Any, ...]]) -> Metadata:
    """Return the metadata in a row of `metadata_columns`, or of `contents` itself."""
    values: Any = row._mapping  # whose type is that of its own keys
    return Metadata(
        **{
            **{field.name: values[field.name] for field in fields(Metadata)},
            "taken_at": datetime.fromisoformat(row.taken_at) if row.taken_at else None,
            "keywords": tuple(row.keywords),
            "people": tuple(row.people),
        }
    )


def metadata_values(metadata: Metadata) -> dict[str, object]:
    """Return the values of the columns of `contents` that metadata fill."""
    values = asdict(metadata)
    values["taken_at"] = metadata.taken_at and metadata.taken_at.isoformat()
    values["keywords"], values["people"] = list(metadata.keywords), list(metadata.people)
    return values

"""The rows that describe a photo: its file, its content, and metadata from sidecars and the file name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, func, select

from pixsearch.database.checksums import is_sound
from pixsearch.database.rows import Damage
from pixsearch.database.schema import CONTENTS, DESCRIPTIONS, PHOTOS, ROOTS
from pixsearch.metadata import Description, Metadata
from pixsearch.storage import FileStamp

PHOTOS_AND_METADATA = PHOTOS.join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id).outerjoin(
    DESCRIPTIONS, DESCRIPTIONS.c.photo_id == PHOTOS.c.id
)

NAMES = (*(field.name for field in fields(Description)), "place")
"""The columns that `descriptions` and `contents` have in common."""
_CONTENT_INDICES = [(field.name, CONTENTS.c.keys().index(field.name)) for field in fields(Metadata)]
_DESCRIPTION_INDICES = [(name, DESCRIPTIONS.c.keys().index(name)) for name in NAMES]


def known(name: str) -> ColumnElement[Any]:
    """Return the column for a metadata field of photos, for queries on PHOTOS_AND_METADATA."""
    # A description already includes the content's values, so a value missing there is missing in both.
    return func.coalesce(DESCRIPTIONS.c[name], CONTENTS.c[name], type_=CONTENTS.c[name].type)


def metadata_of(content: Sequence[Any], description: Sequence[Any] | None = None) -> Metadata:
    """Return the metadata from a row of `contents`, overridden by the photo's row of `descriptions` if it has one."""
    values = {name: content[index] for name, index in _CONTENT_INDICES}
    if description is not None:
        values |= {name: value for name, index in _DESCRIPTION_INDICES if (value := description[index]) is not None}
    values["taken_at"] = datetime.fromisoformat(values["taken_at"]) if values["taken_at"] else None
    values["keywords"], values["people"] = tuple(values["keywords"]), tuple(values["people"])
    values["writing"] = None if values["writing"] is None else tuple(values["writing"])
    return Metadata(**values)


def _town(latitude: float, longitude: float) -> str | None:
    from pixsearch.gazetteer.gazetteer import nearest, words  # imports numpy, which only writers need

    found = nearest(latitude, longitude)
    return None if found is None else words(found)


def _is_within(number: float | None, least: float, most: float) -> bool:
    """Return whether a number is present and in the given range. Infinity and NaN are never in range."""
    return number is not None and least <= number <= most


def metadata_values(metadata: Metadata) -> dict[str, object]:
    """Return the values for the metadata columns of `contents`.

    Out-of-range numbers are replaced, and the name of the place at the coordinates is added.
    """
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


class LibraryPhoto(NamedTuple):
    """A photo in the library, with its metadata."""

    id: int
    content_id: int
    root: bytes | None
    """The path of the photo's root; None if the root's row is missing."""
    path: bytes
    stamp: FileStamp
    digest: bytes
    size_bytes: int
    """The size of the content."""
    metadata: Metadata


PHOTO_ROWS = select(ROOTS.c.path, *PHOTOS.c, *CONTENTS.c, *DESCRIPTIONS.c).select_from(
    PHOTOS_AND_METADATA.outerjoin(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
)
_PHOTO_COLUMNS = slice(1, 1 + len(PHOTOS.c))
_CONTENT_COLUMNS = slice(_PHOTO_COLUMNS.stop, _PHOTO_COLUMNS.stop + len(CONTENTS.c))
_DESCRIPTION_COLUMNS = slice(_CONTENT_COLUMNS.stop, _CONTENT_COLUMNS.stop + len(DESCRIPTIONS.c))


def photo_of(row: Row[Any], damage: Damage) -> LibraryPhoto | None:
    """Return the photo in a row of PHOTO_ROWS. If any part of the row is damaged, record the damage and return None."""
    root, photo, content, description = row[0], row[_PHOTO_COLUMNS], row[_CONTENT_COLUMNS], row[_DESCRIPTION_COLUMNS]
    if not is_sound(CONTENTS, content):
        damage.note(CONTENTS.name, content[0])
        return None
    is_described = description[0] is not None
    if not (is_sound(PHOTOS, photo) and (not is_described or is_sound(DESCRIPTIONS, description))):
        damage.note(PHOTOS.name, photo[0])
        return None
    id_, _, path, size_bytes, mtime_ns, content_id, *_ = photo
    metadata = metadata_of(content, description if is_described else None)
    return LibraryPhoto(id_, content_id, root, path, FileStamp(size_bytes, mtime_ns), content[1], content[2], metadata)

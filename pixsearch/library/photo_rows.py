"""The rows that together say what a photo is, read at once."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Row, select

from pixsearch.database.checksums import is_sound
from pixsearch.database.rows import Damage
from pixsearch.database.schema import CONTENTS, DESCRIPTIONS, PHOTOS, ROOTS
from pixsearch.library.photo_metadata import PHOTOS_AND_METADATA, metadata_of
from pixsearch.metadata import Metadata
from pixsearch.storage import FileStamp


class LibraryPhoto(NamedTuple):
    """One photo, as it is stored, and what is known of it."""

    id: int
    content_id: int
    root: bytes | None
    """The path of its root; None where that row is missing."""
    path: bytes
    stamp: FileStamp
    digest: bytes
    size_bytes: int
    """Of the content."""
    metadata: Metadata


PHOTO_ROWS = select(ROOTS.c.path, *PHOTOS.c, *CONTENTS.c, *DESCRIPTIONS.c).select_from(
    PHOTOS_AND_METADATA.outerjoin(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
)
_OF_PHOTO = slice(1, 1 + len(PHOTOS.c))
_OF_CONTENT = slice(_OF_PHOTO.stop, _OF_PHOTO.stop + len(CONTENTS.c))
_OF_DESCRIPTION = slice(_OF_CONTENT.stop, _OF_CONTENT.stop + len(DESCRIPTIONS.c))


def photo_of(row: Row[Any], damage: Damage) -> LibraryPhoto | None:
    """Return the photo of a row of PHOTO_ROWS; None, and the damage noted, where a part of it is damaged."""
    root, photo, content, description = row[0], row[_OF_PHOTO], row[_OF_CONTENT], row[_OF_DESCRIPTION]
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

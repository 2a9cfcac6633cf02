"""What the files of pictures take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, func, select

from pixsearch.database.database import in_parts
from pixsearch.database.rows import Damage, in_halves
from pixsearch.database.schema import CONTENTS, PHOTOS


class Space(NamedTuple):
    """What the photos of one picture take."""

    size_bytes: int
    """Of each."""
    photos: int


def space_of(connection: Connection, content_ids: Sequence[int], damage: Damage) -> dict[int, Space]:
    """See `Library.space_of`."""
    statement = (
        select(PHOTOS.c.content_id, CONTENTS.c.size_bytes, func.count())
        .join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id)
        .group_by(PHOTOS.c.content_id, CONTENTS.c.size_bytes)
    )

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(statement.where(PHOTOS.c.content_id.in_(ids))).all()

    note = partial(damage.note, CONTENTS.name)
    found = {}
    for part in in_parts(content_ids):
        rows: list[Any] = in_halves(part, read, note)
        for content_id, size_bytes, photos in rows:
            if isinstance(size_bytes, int):
                found[content_id] = Space(size_bytes, photos)
            else:  # of a damaged row
                note(content_id)
    return found

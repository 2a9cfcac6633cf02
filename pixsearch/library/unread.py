"""Which pictures are not yet read for text: those of folders that want it (`ScanRules.ocr`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, distinct, false, func, or_, select

from pixsearch.database.rows import Damage, change_each, in_ranges
from pixsearch.database.schema import CONTENTS, PHOTOS, ROOTS
from pixsearch.library.photo_metadata import PHOTOS_AND_METADATA, known
from pixsearch.library.postings import post_terms
from pixsearch.paths import below, prefix_upper_bound

_CLOCK = len("2021-03-01T00:00:00")

_UNREAD = CONTENTS.c.writing.is_(None)


def unread_contents(connection: Connection, folders: Sequence[bytes] | None, damage: Damage) -> list[int]:
    """Return the ids of the contents that can be read now, in some folders or in all: see `Library.unread`."""
    roots = connection.scalars(select(ROOTS.c.id).where(ROOTS.c.ocr, ROOTS.c.online)).all()
    if not roots:  # most libraries: photos need not be looked through
        return []
    statement = (
        select(PHOTOS.c.content_id, known("taken_at"), PHOTOS.c.mtime_ns)
        .select_from(PHOTOS_AND_METADATA)
        .where(_UNREAD, PHOTOS.c.root_id.in_(roots))
    )
    if folders is not None:
        statement = statement.where(or_(false(), *map(_at_or_below, folders)))
    dated: dict[int, str] = {}
    rows: list[Any] = in_ranges(connection, statement, damage)
    for content_id, taken_at, mtime_ns in rows:
        if isinstance(content_id, int):  # of a damaged row anything may be what it was not
            dated[content_id] = max(_date(taken_at, mtime_ns), dated.get(content_id, ""))
    return sorted(dated, key=lambda id_: (dated[id_], id_), reverse=True)


def count_unread(connection: Connection) -> dict[int, int]:
    """Return how many contents are still to be read, by the id of the root."""
    of_roots = (
        select(PHOTOS.c.root_id, func.count(distinct(PHOTOS.c.content_id)))
        .join(CONTENTS, CONTENTS.c.id == PHOTOS.c.content_id)
        .join(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
        .where(_UNREAD, ROOTS.c.ocr)
        .group_by(PHOTOS.c.root_id)
    )
    return {row[0]: row[1] for row in connection.execute(of_roots)}


def store_writing(connection: Connection, writing: Mapping[int, Sequence[str]]) -> None:
    """Keep the lines in pictures, by the ids of their contents, and let their photos be found by them."""
    change_each(connection, CONTENTS, {id_: {"writing": list(lines)} for id_, lines in writing.items()})
    post_terms(connection, sorted(writing))


def _at_or_below(folder: bytes) -> Any:
    return PHOTOS.c.path.between(below(folder), prefix_upper_bound(folder)) | (PHOTOS.c.path == folder)


def _date(taken_at: object, mtime_ns: object) -> str:
    """When a photo was taken, by the clock of where that was; else when its file was written."""
    if isinstance(taken_at, str) and taken_at:
        return taken_at[:_CLOCK]
    try:
        assert isinstance(mtime_ns, int)
        return datetime.fromtimestamp(mtime_ns // 10**9).isoformat()
    except (AssertionError, OverflowError, OSError, ValueError):  # no year of ours
        return ""

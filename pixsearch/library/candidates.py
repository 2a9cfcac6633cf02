"""Look up pictures in a library by id, with the data that searches and viewers need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func, select

from pixsearch.database.checksums import is_sound, stored
from pixsearch.database.database import in_parts
from pixsearch.database.rows import Damage, in_halves, sound_rows
from pixsearch.database.schema import CONTENTS, EMBEDDING_TYPE, FEATURES, GRIDS, PHOTOS, ROOTS
from pixsearch.database.state import MODEL_IN_USE
from pixsearch.filters import NO_FILTERS, Filters
from pixsearch.library.filtering import photos_that_pass
from pixsearch.library.photo_rows import PHOTO_ROWS, LibraryPhoto, photo_of
from pixsearch.library.records import Candidate, Space, StoredPhoto, StoredPicture
from pixsearch.storage import FilePath, may_exist, resolved_bytes, stamp_of, to_path


def candidates_of(
    connection: Connection, content_ids: Sequence[int], filters: Filters, damage: Damage
) -> list[Candidate]:
    """See `Library.candidates`."""
    found = {
        candidate.content_id: candidate
        for part in in_parts(content_ids)
        for candidate in _candidates(connection, part, filters, damage)
    }
    return [found[content_id] for content_id in content_ids if content_id in found]


def candidate_at(connection: Connection, path: FilePath, damage: Damage) -> Candidate | None:
    """See `Library.photo`."""
    resolved = resolved_bytes(path)
    rows = connection.execute(stored(PHOTOS).where(PHOTOS.c.path == resolved)).all()
    if len(rows) != 1 or not is_sound(PHOTOS, row := rows[0]):
        return None
    with suppress(OSError):  # an offline photo counts as unchanged
        if stamp_of(to_path(resolved)) != (row.size_bytes, row.mtime_ns):
            return None
    return next(_candidates(connection, [row.content_id], NO_FILTERS, damage), None)


def grids_of(connection: Connection, content_ids: Sequence[int], damage: Damage) -> dict[int, bytes]:
    """See `Library.grids`."""
    in_use = GRIDS.c.model_id == MODEL_IN_USE

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(stored(GRIDS).where(in_use, GRIDS.c.content_id.in_(ids))).all()

    return {row.content_id: row.grid for part in in_parts(content_ids) for row in sound_rows(GRIDS, part, read, damage)}


def pictures_of(connection: Connection, content_ids: Sequence[int], damage: Damage) -> dict[int, StoredPicture]:
    """See `Library.pictures`."""
    pictures = (picture for part in in_parts(content_ids) for picture in _pictures(connection, part, damage))
    return {picture.content_id: picture for picture in pictures}


def _pictures(connection: Connection, content_ids: Sequence[int], damage: Damage) -> Iterator[StoredPicture]:
    of_roots = select(PHOTOS.c.id, ROOTS.c.path, ROOTS.c.follow_links).join_from(PHOTOS, ROOTS)
    folders = {
        row.id: None if row.follow_links else row.path
        for row in connection.execute(of_roots.where(PHOTOS.c.content_id.in_(content_ids)))
    }
    photos: dict[int, list[LibraryPhoto]] = {}
    for photo in photos_of(connection, content_ids, damage):
        if photo.id in folders:
            photos.setdefault(photo.content_id, []).append(photo)
    for content_id, found in photos.items():
        by_path = {photo.path: to_path(photo.path) for photo in found}
        found.sort(key=lambda photo: not may_exist(by_path[photo.path]))  # stable
        first = found[0]
        yield StoredPicture(
            content_id,
            first.digest,
            first.size_bytes,
            first.metadata,
            tuple(StoredPhoto(by_path[photo.path], photo.stamp, folders[photo.id], photo.metadata) for photo in found),
        )


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
            else:  # the row is damaged
                note(content_id)
    return found


def first_paths_of(connection: Connection, content_ids: Sequence[int], damage: Damage) -> dict[int, FilePath]:
    """See `Library.first_paths`."""
    by_name = stored(PHOTOS).outerjoin(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
    by_name = by_name.order_by(ROOTS.c.online.desc(), PHOTOS.c.path)

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(by_name.where(PHOTOS.c.content_id.in_(ids))).all()

    paths: dict[int, list[FilePath]] = {}
    for part in in_parts(content_ids):
        for row in in_halves(part, read, partial(damage.note, CONTENTS.name)):
            if is_sound(PHOTOS, row):
                paths.setdefault(row.content_id, []).append(to_path(row.path))
            else:
                damage.note(PHOTOS.name, row.id)
    return {
        content_id: found[0] if len(found) == 1 else next(filter(may_exist, found), found[0])
        for content_id, found in paths.items()
    }


def photos_of(connection: Connection, content_ids: Sequence[int], damage: Damage) -> list[LibraryPhoto]:
    """Return the photos with these content ids, sorted by path, with those in online folders first."""
    by_name = PHOTO_ROWS.order_by(ROOTS.c.online.desc(), PHOTOS.c.path)

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(by_name.where(PHOTOS.c.content_id.in_(ids))).all()

    rows = in_halves(content_ids, read, partial(damage.note, CONTENTS.name))
    return [photo for row in rows if (photo := photo_of(row, damage)) is not None]


def photos_by_content(
    connection: Connection, content_ids: Sequence[int], filters: Filters, damage: Damage
) -> dict[int, tuple[list[LibraryPhoto], int]]:
    """Return the photos with each content id, in the order of `Candidate.paths`, and the number that pass the filters.

    The number is -1 if there are no filters.
    """
    photos: dict[int, list[LibraryPhoto]] = {}
    for photo in photos_of(connection, content_ids, damage):
        photos.setdefault(photo.content_id, []).append(photo)
    if filters == NO_FILTERS:
        return {content_id: (found, -1) for content_id, found in photos.items()}
    passing = photos_that_pass(connection, filters, content_ids, damage)
    for found in photos.values():
        found.sort(key=lambda photo: photo.id not in passing)  # stable
    return {content_id: (found, sum(photo.id in passing for photo in found)) for content_id, found in photos.items()}


def _candidates(
    connection: Connection, content_ids: Sequence[int], filters: Filters, damage: Damage
) -> Iterator[Candidate]:
    photos = photos_by_content(connection, content_ids, filters, damage)
    in_use = FEATURES.c.model_id == MODEL_IN_USE

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(stored(FEATURES).where(in_use, FEATURES.c.content_id.in_(ids))).all()

    for row in sound_rows(FEATURES, content_ids, read, damage):
        if row.content_id not in photos:
            continue
        found, passing = photos[row.content_id]
        metadata = tuple(photo.metadata for photo in found)
        yield Candidate(
            content_id=row.content_id,
            paths=tuple(to_path(photo.path) for photo in found),
            metadata=metadata[0],
            embedding=np.frombuffer(row.embedding, dtype=EMBEDDING_TYPE),
            metadata_by_path=metadata if any(one != metadata[0] for one in metadata) else (),
            passing=passing,
        )

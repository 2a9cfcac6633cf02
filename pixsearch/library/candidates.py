"""Pictures of a library, with what a search or somebody who looks at one needs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, select

from pixsearch.library.database import in_parts
from pixsearch.library.filtering import photos_that_pass
from pixsearch.library.filters import NO_FILTERS, Filters
from pixsearch.library.photo_metadata import PHOTOS_AND_METADATA, metadata_columns, metadata_of
from pixsearch.library.records import Candidate, StoredPhoto, StoredPicture
from pixsearch.library.schema import CONTENTS, EMBEDDING_TYPE, FEATURES, GRIDS, PHOTOS, ROOTS, VECTOR_INDEX
from pixsearch.storage import FilePath, FileStamp, may_exist, resolved_bytes, stamp_of, to_path


def candidates_of(connection: Connection, content_ids: Sequence[int], filters: Filters) -> list[Candidate]:
    """See `Library.candidates`."""
    found = {
        candidate.content_id: candidate
        for part in in_parts(content_ids)
        for candidate in _candidates(connection, part, filters)
    }
    return [found[content_id] for content_id in content_ids if content_id in found]


def candidate_at(connection: Connection, path: FilePath) -> Candidate | None:
    """See `Library.photo`."""
    resolved = resolved_bytes(path)
    row = connection.execute(
        select(PHOTOS.c.size_bytes, PHOTOS.c.mtime_ns, PHOTOS.c.content_id).where(PHOTOS.c.path == resolved)
    ).one_or_none()
    if row is None:
        return None
    with suppress(OSError):  # it may be offline; then it is taken as it was
        if stamp_of(to_path(resolved)) != (row.size_bytes, row.mtime_ns):
            return None
    return next(_candidates(connection, [row.content_id], NO_FILTERS), None)


def grids_of(connection: Connection, content_ids: Sequence[int]) -> dict[int, bytes]:
    """See `Library.grids`."""
    in_use = select(GRIDS.c.content_id, GRIDS.c.grid).join(VECTOR_INDEX, VECTOR_INDEX.c.model_id == GRIDS.c.model_id)
    return {
        row.content_id: row.grid
        for part in in_parts(content_ids)
        for row in connection.execute(in_use.where(GRIDS.c.content_id.in_(part)))
    }


def picture_of(connection: Connection, content_id: int) -> StoredPicture | None:
    """See `Library.picture`."""
    content = connection.execute(select(CONTENTS).where(CONTENTS.c.id == content_id)).one_or_none()
    root = ROOTS.c.path.label("root"), ROOTS.c.follow_links
    rows = connection.execute(_photos_of([content_id]).add_columns(PHOTOS.c.size_bytes, PHOTOS.c.mtime_ns, *root)).all()
    if content is None or not rows:
        return None
    photos = [
        StoredPhoto(to_path(row.path), FileStamp(row.size_bytes, row.mtime_ns), None if row.follow_links else row.root)
        for row in rows
    ]
    there = sorted(range(len(rows)), key=lambda number: not may_exist(photos[number].path))  # stable
    return StoredPicture(
        content_id,
        content.digest,
        content.size_bytes,
        metadata_of(rows[there[0]]),
        tuple(photos[number] for number in there),
    )


def _photos_of(content_ids: Sequence[int]) -> Select[Any]:
    """Those that can be reached first, then by name."""
    return (
        select(PHOTOS.c.id, PHOTOS.c.content_id, PHOTOS.c.path, *metadata_columns())
        .select_from(PHOTOS_AND_METADATA.join(ROOTS, ROOTS.c.id == PHOTOS.c.root_id))
        .where(PHOTOS.c.content_id.in_(content_ids))
        .order_by(ROOTS.c.online.desc(), PHOTOS.c.path)
    )


def _candidates(connection: Connection, content_ids: Sequence[int], filters: Filters) -> Iterator[Candidate]:
    passing = None if filters == NO_FILTERS else photos_that_pass(connection, filters, content_ids)
    photos: dict[int, list[Row[Any]]] = {}
    for photo in connection.execute(_photos_of(content_ids)):
        photos.setdefault(photo.content_id, []).append(photo)
    rows = connection.execute(
        select(FEATURES.c.content_id, FEATURES.c.embedding)
        .join(VECTOR_INDEX, VECTOR_INDEX.c.model_id == FEATURES.c.model_id)
        .where(FEATURES.c.content_id.in_(content_ids))
    )
    for row in rows:
        if (found := photos.get(row.content_id)) is None:
            continue
        count = -1
        if passing is not None:
            found.sort(key=lambda photo: photo.id not in passing)  # stable
            count = sum(photo.id in passing for photo in found)
        metadata = tuple(map(metadata_of, found))
        yield Candidate(
            content_id=row.content_id,
            paths=tuple(to_path(photo.path) for photo in found),
            metadata=metadata[0],
            embedding=np.frombuffer(row.embedding, dtype=EMBEDDING_TYPE),
            metadata_by_path=metadata if any(one != metadata[0] for one in metadata) else (),
            passing=count,
        )

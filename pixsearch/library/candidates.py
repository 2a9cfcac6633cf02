"""Pictures of a library, with what a search or somebody who looks at one needs of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, select

from pixsearch.library.database import in_parts
from pixsearch.library.filters import NO_FILTERS, Filters
from pixsearch.library.records import Candidate, Metadata, StoredPicture
from pixsearch.library.schema import CONTENTS, EMBEDDING_TYPE, FEATURES, GRIDS, PHOTOS, ROOTS, VECTOR_INDEX
from pixsearch.storage import FilePath, FileStamp, resolved_bytes, stamp_of, to_path


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
    photos = connection.execute(_photos_of([content_id]).add_columns(PHOTOS.c.size_bytes, PHOTOS.c.mtime_ns)).all()
    if content is None or not photos:
        return None
    return StoredPicture(
        content_id,
        content.digest,
        content.size_bytes,
        _metadata(content),
        tuple((to_path(row.path), FileStamp(row.size_bytes, row.mtime_ns)) for row in photos),
    )


def _photos_of(content_ids: Sequence[int]) -> Select[Any]:
    """Those that can be reached first, then by name."""
    return (
        select(PHOTOS.c.content_id, PHOTOS.c.path)
        .join(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
        .where(PHOTOS.c.content_id.in_(content_ids))
        .order_by(ROOTS.c.online.desc(), PHOTOS.c.path)
    )


def _candidates(connection: Connection, content_ids: Sequence[int], filters: Filters) -> Iterator[Candidate]:
    photos = connection.execute(_photos_of(content_ids)).all()
    paths: dict[int, list[FilePath]] = {}
    passes = filters.path_test()
    for content_id, path in sorted(photos, key=lambda photo: not passes(photo.path)):
        paths.setdefault(content_id, []).append(to_path(path))
    rows = connection.execute(
        select(*CONTENTS.c, FEATURES.c.embedding)
        .join(FEATURES, FEATURES.c.content_id == CONTENTS.c.id)
        .join(VECTOR_INDEX, VECTOR_INDEX.c.model_id == FEATURES.c.model_id)
        .where(CONTENTS.c.id.in_(content_ids))
    )
    for row in rows:
        if row.id in paths:
            yield Candidate(
                content_id=row.id,
                paths=tuple(paths[row.id]),
                metadata=_metadata(row),
                embedding=np.frombuffer(row.embedding, dtype=EMBEDDING_TYPE),
            )


def _metadata(content: Row[*tuple[Any, ...]]) -> Metadata:
    return Metadata(
        format=content.format,
        width=content.width,
        height=content.height,
        taken_at=datetime.fromisoformat(content.taken_at) if content.taken_at else None,
        camera=content.camera,
        lens=content.lens,
        latitude=content.latitude,
        longitude=content.longitude,
        title=content.title,
        caption=content.caption,
        keywords=tuple(content.keywords),
        share_decoded=content.share_decoded,
    )

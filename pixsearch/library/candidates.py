"""Pictures of a library, with all that a search needs of each."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, and_, select

from pixsearch.library.database import in_parts
from pixsearch.library.filters import NO_FILTERS, Filters
from pixsearch.library.records import Candidate, Metadata
from pixsearch.library.schema import CONTENTS, EMBEDDING_TYPE, FEATURES, GRIDS, PHOTOS, ROOTS, VECTOR_INDEX


def candidates_of(connection: Connection, content_ids: Sequence[int], filters: Filters) -> list[Candidate]:
    """See `Library.candidates`."""
    found = {
        candidate.content_id: candidate
        for part in in_parts(content_ids)
        for candidate in _candidates(connection, part, filters)
    }
    return [found[content_id] for content_id in content_ids if content_id in found]


def candidate_at(connection: Connection, path: Path) -> Candidate | None:
    """See `Library.photo`."""
    resolved = path.expanduser().resolve()
    row = connection.execute(
        select(PHOTOS.c.size_bytes, PHOTOS.c.mtime_ns, PHOTOS.c.content_id).where(
            PHOTOS.c.path == os.fsencode(resolved)
        )
    ).one_or_none()
    if row is None:
        return None
    with suppress(OSError):  # it may be offline; then it is taken as it was
        stat = resolved.stat()
        if (stat.st_size, stat.st_mtime_ns) != (row.size_bytes, row.mtime_ns):
            return None
    return next(_candidates(connection, [row.content_id], NO_FILTERS), None)


def _candidates(connection: Connection, content_ids: Sequence[int], filters: Filters) -> Iterator[Candidate]:
    photos = connection.execute(
        select(PHOTOS.c.content_id, PHOTOS.c.path)
        .join(ROOTS, ROOTS.c.id == PHOTOS.c.root_id)
        .where(PHOTOS.c.content_id.in_(content_ids))
        .order_by(ROOTS.c.online.desc(), PHOTOS.c.path)
    ).all()
    paths: dict[int, list[Path]] = {}
    passes = filters.path_test()
    for content_id, path in sorted(photos, key=lambda photo: not passes(photo.path)):
        paths.setdefault(content_id, []).append(Path(os.fsdecode(path)))
    rows = connection.execute(
        select(*CONTENTS.c, FEATURES.c.embedding, GRIDS.c.grid)
        .join(FEATURES, FEATURES.c.content_id == CONTENTS.c.id)
        .join(GRIDS, and_(GRIDS.c.content_id == CONTENTS.c.id, GRIDS.c.model_id == FEATURES.c.model_id))
        .join(VECTOR_INDEX, VECTOR_INDEX.c.model_id == FEATURES.c.model_id)
        .where(CONTENTS.c.id.in_(content_ids))
    )
    for row in rows:
        if row.id in paths:
            yield Candidate(
                content_id=row.id,
                paths=tuple(paths[row.id]),
                metadata=Metadata(
                    format=row.format,
                    width=row.width,
                    height=row.height,
                    taken_at=datetime.fromisoformat(row.taken_at) if row.taken_at else None,
                    camera=row.camera,
                    lens=row.lens,
                    latitude=row.latitude,
                    longitude=row.longitude,
                    title=row.title,
                    caption=row.caption,
                    keywords=tuple(row.keywords),
                    share_decoded=row.share_decoded,
                ),
                embedding=np.frombuffer(row.embedding, dtype=EMBEDDING_TYPE),
                grid=row.grid,
            )

"""The texts of a library: which there are, where they stand, and which are nearest to a picture."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Select, delete, exists, insert, or_, select, union, update

from pixsearch.library.database import in_parts
from pixsearch.library.photo_metadata import PHOTOS_AND_METADATA, known
from pixsearch.library.records import FailedFile, FoundText, TextSource
from pixsearch.library.schema import (
    EMBEDDING_TYPE,
    LOOK_AGAIN,
    PHOTOS,
    TEXT_FEATURES,
    TEXT_FILES,
    TEXT_LINES,
    TEXTS,
    VECTOR_INDEX,
)
from pixsearch.storage import FileStamp

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_AT_ONCE = 10_000


def nearest_texts(connection: Connection, vector: NDArray[np.float32], count: int) -> list[FoundText]:
    """The texts whose embeddings are nearest to a unit vector [size], nearest first, equal ones in their own order.

    By a full scan, a part at a time: a hundred thousand take a third of a second, and there is nothing to keep in step.
    """
    import numpy as np  # 0.1 s, which a run that finds nothing new need not pay

    rows = connection.execution_options(yield_per=_AT_ONCE).execute(
        select(TEXT_FEATURES.c.text_id, TEXT_FEATURES.c.embedding)
        .join(VECTOR_INDEX, VECTOR_INDEX.c.model_id == TEXT_FEATURES.c.model_id)
        .order_by(TEXT_FEATURES.c.text_id)
    )
    best: list[tuple[float, int]] = []
    for part in rows.partitions():
        embeddings = np.frombuffer(b"".join(row.embedding for row in part), dtype=EMBEDDING_TYPE)
        # One by one, as with pictures: in a product of matrices the last bits depend on what stands beside.
        found = (
            (-float(np.dot(embedding, vector)), row.text_id)
            for row, embedding in zip(part, embeddings.reshape(len(part), -1), strict=True)
        )
        best = heapq.nsmallest(count, [*best, *found])
    ids = [text_id for _, text_id in best]
    texts = _texts(connection, ids)
    sources = _sources(connection, {text_id: texts[text_id] for text_id in ids})
    return [FoundText(texts[text_id], -distance, tuple(sources[text_id])) for distance, text_id in best]


def store_lines(connection: Connection, path: bytes, stamp: FileStamp, lines: Mapping[int, str]) -> None:
    """Let a text file hold these lines, by their numbers, and no other."""
    connection.execute(delete(TEXT_FILES).where(TEXT_FILES.c.path == path))
    file_id = connection.execute(
        insert(TEXT_FILES).values(path=path, **stamp._asdict()).returning(TEXT_FILES.c.id)
    ).scalar_one()
    ids = add_texts(connection, list(lines.values()))
    rows = [{"file_id": file_id, "line": line, "text_id": ids[text]} for line, text in lines.items()]
    if rows:
        connection.execute(insert(TEXT_LINES), rows)


def store_text_failure(connection: Connection, failure: FailedFile) -> None:
    """Let a text file be a failure; without a stamp it could not be read, and keeps the lines that it had."""
    reason = {"reason": failure.reason, "failed_at_s": time.time()}
    if failure.stamp is None:
        file = update(TEXT_FILES).where(TEXT_FILES.c.path == failure.path)
        if connection.execute(file.values(size_bytes=LOOK_AGAIN, **reason)).rowcount:
            return
    connection.execute(delete(TEXT_FILES).where(TEXT_FILES.c.path == failure.path))
    stamp = failure.stamp or FileStamp(LOOK_AGAIN, 0)
    connection.execute(insert(TEXT_FILES).values(path=failure.path, **stamp._asdict(), **reason))


def add_texts(connection: Connection, texts: Sequence[str]) -> dict[str, int]:
    """The ids of texts; those that were not there are now."""
    wanted = list(dict.fromkeys(texts))
    ids = _ids(connection, wanted)
    if new := [{"text": text} for text in wanted if text not in ids]:
        connection.execute(insert(TEXTS), new)
        ids |= _ids(connection, [row["text"] for row in new])
    return ids


def texts_without_features(connection: Connection, model_id: int, count: int) -> list[tuple[int, str]]:
    """Some texts that the model has not read yet, by id."""
    read = exists().where(TEXT_FEATURES.c.text_id == TEXTS.c.id, TEXT_FEATURES.c.model_id == model_id)
    rows = connection.execute(select(TEXTS.c.id, TEXTS.c.text).where(~read).order_by(TEXTS.c.id).limit(count))
    return [(row.id, row.text) for row in rows]


def drop_unused_texts(connection: Connection) -> None:
    """Forget texts that neither stand in a file nor describe a photo."""
    described = union(_of_photos("title"), _of_photos("caption"))
    connection.execute(
        delete(TEXTS).where(
            ~exists().where(TEXT_LINES.c.text_id == TEXTS.c.id), TEXTS.c.text.not_in(described.scalar_subquery())
        )
    )


def _of_photos(name: str) -> Select[tuple[str]]:
    return select(known(name)).select_from(PHOTOS_AND_METADATA).where(known(name).is_not(None))


def _ids(connection: Connection, texts: Sequence[str]) -> dict[str, int]:
    return {
        row.text: row.id
        for part in in_parts(texts)
        for row in connection.execute(select(TEXTS.c.text, TEXTS.c.id).where(TEXTS.c.text.in_(part)))
    }


def _texts(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    return {
        row.id: row.text
        for part in in_parts(ids)
        for row in connection.execute(select(TEXTS.c.id, TEXTS.c.text).where(TEXTS.c.id.in_(part)))
    }


def _sources(connection: Connection, texts: Mapping[int, str]) -> dict[int, list[TextSource]]:
    """Where each text stands: lines of files first, then photos, each by path."""
    sources: dict[int, list[TextSource]] = {text_id: [] for text_id in texts}
    by_text = {text: text_id for text_id, text in texts.items()}
    for part in in_parts(list(texts)):
        lines = connection.execute(
            select(TEXT_LINES.c.text_id, TEXT_FILES.c.path, TEXT_LINES.c.line)
            .join(TEXT_FILES, TEXT_FILES.c.id == TEXT_LINES.c.file_id)
            .where(TEXT_LINES.c.text_id.in_(part))
            .order_by(TEXT_FILES.c.path, TEXT_LINES.c.line)
        )
        for row in lines:
            sources[row.text_id].append(TextSource(Path(os.fsdecode(row.path)), row.line))
        described = [texts[text_id] for text_id in part]
        photos = connection.execute(
            select(PHOTOS.c.path, known("title").label("title"), known("caption").label("caption"))
            .select_from(PHOTOS_AND_METADATA)
            .where(or_(known("title").in_(described), known("caption").in_(described)))
            .order_by(PHOTOS.c.path)
        )
        for row in photos:
            for text in dict.fromkeys((row.title, row.caption)):
                if text in by_text:
                    sources[by_text[text]].append(TextSource(Path(os.fsdecode(row.path)), None))
    return sources

"""Add, delete and search the texts in a library."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, Select, delete, exists, or_, select, union

from pixsearch.database.checksums import is_sound, stored
from pixsearch.database.database import in_parts
from pixsearch.database.rows import (
    Damage,
    change_rows,
    in_halves,
    in_ranges,
    insert_row,
    insert_rows,
    integers,
    keys_of,
    sound_rows,
)
from pixsearch.database.schema import (
    EMBEDDING_TYPE,
    LOOK_AGAIN,
    PHOTOS,
    TEXT_FEATURES,
    TEXT_FILES,
    TEXT_LINES,
    TEXTS,
)
from pixsearch.database.state import state_of
from pixsearch.library.photo_rows import PHOTOS_AND_METADATA, known
from pixsearch.library.records import FailedFile, FoundText, TextSource
from pixsearch.storage import FileStamp, to_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROUNDING = 1e-4
"""An upper bound on how much the order of summation can change the dot product of two unit vectors."""


def nearest_texts(connection: Connection, vector: NDArray[np.float32], count: int, damage: Damage) -> list[FoundText]:
    """Return the texts whose embeddings are nearest to a unit vector [size], nearest first, ties by id.

    This scans all texts in batches. A hundred thousand texts take a third of a second, and no index has to be updated.
    """
    import numpy as np  # takes 0.1 s, and a run without new photos does not need it

    model_id = state_of(connection).model_id
    in_use = TEXT_FEATURES.c.model_id == model_id

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(stored(TEXT_FEATURES).where(in_use, TEXT_FEATURES.c.text_id.in_(ids))).all()

    best: list[tuple[float, int]] = []
    for part in in_parts(sorted(keys_of(connection, TEXT_FEATURES, model_id, damage))):
        rows = sound_rows(TEXT_FEATURES, part, read, damage)
        joined = b"".join(row.embedding for row in rows)
        embeddings = np.frombuffer(joined, dtype=EMBEDDING_TYPE).reshape(-1, len(vector))
        near = embeddings @ vector
        least = -np.inf if len(near) <= count else np.partition(near, -count)[-count] - _ROUNDING
        # One by one, as for pictures, because in a matrix product the last bits of a row depend on the other rows.
        found = (
            (-float(np.dot(embeddings[index], vector)), rows[index].text_id) for index in np.flatnonzero(near >= least)
        )
        best = heapq.nsmallest(count, [*best, *found])
    texts = _texts(connection, [text_id for _, text_id in best], damage)
    sources = _sources(connection, texts, damage)
    return [
        FoundText(texts[text_id], -distance, tuple(sources[text_id]))
        for distance, text_id in best
        if sources.get(text_id)  # otherwise its row or all its sources are damaged
    ]


def store_lines(connection: Connection, path: bytes, stamp: FileStamp, lines: Mapping[int, str]) -> None:
    """Replace the stored lines of a text file with these lines, keyed by line number."""
    connection.execute(delete(TEXT_FILES).where(TEXT_FILES.c.path == path))
    file = {"path": path, **stamp._asdict(), "reason": None, "failed_at_s": None}
    file_id = insert_row(connection, TEXT_FILES, file)
    ids = add_texts(connection, list(lines.values()))
    rows = [{"file_id": file_id, "line": line, "text_id": ids[text]} for line, text in lines.items()]
    insert_rows(connection, TEXT_LINES, rows)


def store_text_failure(connection: Connection, failure: FailedFile) -> None:
    """Record a text file as a failure. If it has no stamp because it could not be read, its lines are kept."""
    reason = {"reason": failure.reason, "failed_at_s": time.time()}
    of_path = TEXT_FILES.c.path == failure.path
    if failure.stamp is None and change_rows(connection, TEXT_FILES, of_path, {"size_bytes": LOOK_AGAIN, **reason}):
        return
    connection.execute(delete(TEXT_FILES).where(of_path))
    stamp = failure.stamp or FileStamp(LOOK_AGAIN, 0)
    insert_row(connection, TEXT_FILES, {"path": failure.path, **stamp._asdict(), **reason})


def add_texts(connection: Connection, texts: Sequence[str]) -> dict[str, int]:
    """Add the texts that are not in the library yet, and return the ids of all the texts."""
    wanted = list(dict.fromkeys(texts))
    ids = _ids(connection, wanted)
    if new := [{"text": text} for text in wanted if text not in ids]:
        insert_rows(connection, TEXTS, new)
        ids |= _ids(connection, [row["text"] for row in new])
    return ids


def texts_without_features(connection: Connection, model_id: int, count: int) -> list[tuple[int, str]]:
    """Return the ids and strings of up to `count` texts that the model has not encoded yet."""
    read = exists().where(TEXT_FEATURES.c.text_id == TEXTS.c.id, TEXT_FEATURES.c.model_id == model_id)
    rows = connection.execute(select(TEXTS.c.id, TEXTS.c.text).where(~read).order_by(TEXTS.c.id).limit(count))
    return [(row.id, row.text) for row in rows]


def drop_unused_texts(connection: Connection) -> None:
    """Delete the texts that are neither in a file nor in a photo's metadata."""
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


def _texts(connection: Connection, ids: Sequence[int], damage: Damage) -> dict[int, str]:
    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(stored(TEXTS).where(TEXTS.c.id.in_(ids))).all()

    return {row.id: row.text for part in in_parts(ids) for row in sound_rows(TEXTS, part, read, damage)}


def _sources(connection: Connection, texts: Mapping[int, str], damage: Damage) -> dict[int, list[TextSource]]:
    """Return the sources of each text: lines in files first, then photos, both sorted by path."""
    from pixsearch.library.candidates import photos_of  # imports numpy

    sources: dict[int, list[TextSource]] = {text_id: [] for text_id in texts}
    by_text = {text: text_id for text_id, text in texts.items()}
    for part in in_parts(list(texts)):
        for row in _lines(connection, part, damage):
            sources[row.text_id].append(TextSource(Path(os.fsdecode(row.path)), row.line))
        described = [texts[text_id] for text_id in part]
        of_texts = or_(known("title").in_(described), known("caption").in_(described))
        statement = select(PHOTOS.c.content_id).select_from(PHOTOS_AND_METADATA).where(of_texts)
        photos = photos_of(connection, integers(in_ranges(connection, statement, damage)), damage)
        for photo in sorted(photos, key=lambda photo: photo.path):
            for text in dict.fromkeys((photo.metadata.title, photo.metadata.caption)):
                if text in by_text:
                    sources[by_text[text]].append(TextSource(to_path(photo.path), None))
    return sources


def _lines(connection: Connection, text_ids: Sequence[int], damage: Damage) -> list[Row[Any]]:
    """Return the rows of lines with these texts, sorted by path and line number."""
    statement = (
        select(*TEXT_LINES.c, *TEXT_FILES.c)
        .join(TEXT_FILES, TEXT_FILES.c.id == TEXT_LINES.c.file_id)
        .order_by(TEXT_FILES.c.path, TEXT_LINES.c.line)
    )

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        return connection.execute(statement.where(TEXT_LINES.c.text_id.in_(ids))).all()

    file_start, sound = len(TEXT_LINES.c), []
    for row in in_halves(text_ids, read, partial(damage.note, TEXT_LINES.name)):
        if is_sound(TEXT_LINES, row[:file_start]) and is_sound(TEXT_FILES, row[file_start:]):
            sound.append(row)
        else:
            damage.note(TEXT_FILES.name, row.file_id)
    return sound

"""What a repair throws away: rows that are damaged, and what belongs to them, so that the next run reads it again.

Nothing of a photo's own file is needed for it. What a run cannot find again by itself, a folder and the model that a
library is searched by, is put together from the rows that are sound.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, or_, select

from pixsearch.database.checksums import is_sound, stored
from pixsearch.database.database import in_parts
from pixsearch.database.rows import change_rows, put_row
from pixsearch.database.schema import (
    CONTENTS,
    DESCRIPTIONS,
    FAILURES,
    FEATURES,
    GRIDS,
    LOOK_AGAIN,
    MODELS,
    PHOTOS,
    ROOTS,
    RUNS,
    TEXT_FEATURES,
    TEXT_FILES,
    TEXT_LINES,
    TEXTS,
    VECTOR_FILES,
    VECTOR_INDEX,
)
from pixsearch.library.photo_metadata import PHOTOS_AND_METADATA, known
from pixsearch.library.postings import post_all_terms
from pixsearch.library.records import ScanRules
from pixsearch.library.texts import add_texts
from pixsearch.paths import below

Damaged = Mapping[str, Collection[tuple[Any, ...]]]
"""By the name of a table the primary keys of its damaged rows."""
_RULES = asdict(ScanRules())


def drop_damaged(connection: Connection, damaged: Damaged) -> None:
    """Delete rows that are damaged or belong to none that is there. Only for the holder of the lock."""
    _restore_index(connection, damaged)
    _restore_roots(connection, damaged)
    keys = {name: [key[0] for key in keys] for name, keys in damaged.items()}
    _delete(connection, PHOTOS.c.id, [*keys.get("photos", ()), *keys.get("descriptions", ())])
    _delete(connection, PHOTOS.c.content_id, keys.get("contents", ()))
    _look_at_texts_again(connection, keys)
    for table in (FEATURES, GRIDS):  # neither is of use without the other
        for name in ("features", "grids"):
            _delete_rows(connection, table, damaged.get(name, ()))
    for table in (TEXT_FEATURES, TEXT_LINES, TEXT_FILES, TEXTS, CONTENTS, MODELS, FAILURES, RUNS):
        _delete_rows(connection, table, damaged.get(table.name, ()))
    _drop_orphans(connection)
    described = select(known("title"), known("caption")).select_from(PHOTOS_AND_METADATA).distinct()
    texts = {text for row in connection.execute(described) for text in row if text}
    for part in in_parts(sorted(texts)):
        add_texts(connection, part)
    encoded = exists().where(
        FEATURES.c.content_id == PHOTOS.c.content_id,
        GRIDS.c.content_id == FEATURES.c.content_id,
        GRIDS.c.model_id == FEATURES.c.model_id,
    )
    change_rows(connection, PHOTOS, ~encoded, {"size_bytes": LOOK_AGAIN})
    post_all_terms(connection)


def _delete(connection: Connection, column: ColumnElement[Any], values: Sequence[Any]) -> None:
    for part in in_parts(list(values)):
        connection.execute(delete(column.table).where(column.in_(part)))


def _delete_rows(connection: Connection, table: Table, keys: Collection[tuple[Any, ...]]) -> None:
    for key in keys:
        of_row = (column == value for column, value in zip(table.primary_key, key, strict=True))
        connection.execute(delete(table).where(*of_row))


def _restore_index(connection: Connection, damaged: Damaged) -> None:
    """Let the library be searched by the model that has made most, where the row that says which is damaged."""
    bad = [key[0] for key in damaged.get("models", ())]
    models = set(connection.scalars(select(MODELS.c.id).where(MODELS.c.id.not_in(bad))))
    row = connection.execute(stored(VECTOR_INDEX)).one_or_none()
    is_kept = row is not None and is_sound(VECTOR_INDEX, row)
    if row is not None and is_kept and {row.model_id, row.target_id} <= models | {None}:
        return
    of_sound = select(FEATURES.c.model_id).where(FEATURES.c.model_id.in_(models))
    most = of_sound.group_by(FEATURES.c.model_id).order_by(func.count().desc()).limit(1)
    saved = connection.scalar(select(func.max(VECTOR_FILES.c.generation))) or 0
    place = row.place if row is not None and is_kept else None
    connection.execute(delete(VECTOR_INDEX).where(VECTOR_INDEX.c.id != 1))
    searched = {"model_id": connection.scalar(most), "generation": saved + 1, "place": place, "target_id": None}
    put_row(connection, VECTOR_INDEX, {"id": 1, **searched})


def _restore_roots(connection: Connection, damaged: Damaged) -> None:
    """Let the photos of a damaged folder stay: it has its path where that is above them all, else the nearest one."""
    there = {row.id: row.path for row in connection.execute(stored(ROOTS))}
    bad = {key[0] for key in damaged.get("roots", ())}
    lost = {id_ for id_ in connection.scalars(select(PHOTOS.c.root_id).distinct()) if id_ not in there}
    for root_id in bad | lost:
        rows = connection.execute(stored(PHOTOS).where(PHOTOS.c.root_id == root_id)).all()
        if not (paths := [row.path for row in rows if is_sound(PHOTOS, row)]):
            connection.execute(delete(ROOTS).where(ROOTS.c.id == root_id))
            continue
        path = there.get(root_id)
        if not (isinstance(path, bytes) and all(photo.startswith(below(path)) for photo in paths)):
            path = _common_folder(paths)
        if (same := next((id_ for id_, other in there.items() if other == path and id_ != root_id), None)) is None:
            put_row(connection, ROOTS, {"id": root_id, "path": path, "online": True, "not_read": {}, **_RULES})
        else:
            for table in (PHOTOS, FAILURES):
                change_rows(connection, table, table.c.root_id == root_id, {"root_id": same})
            connection.execute(delete(ROOTS).where(ROOTS.c.id == root_id))


def _common_folder(paths: Sequence[bytes]) -> bytes:
    folders = [path.split(b"/")[:-1] for path in paths]
    common = takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))
    return b"/".join(names[0] for names in common) or b"/"


def _look_at_texts_again(connection: Connection, keys: Mapping[str, Sequence[Any]]) -> None:
    """Let the files be read again that hold damaged texts."""
    texts, lines = keys.get("texts", ()), keys.get("text_lines", ())
    of_texts = select(TEXT_LINES.c.file_id).where(TEXT_LINES.c.text_id.in_(texts))
    of_lines = or_(TEXT_FILES.c.id.in_(lines), TEXT_FILES.c.id.in_(of_texts))
    change_rows(connection, TEXT_FILES, of_lines, {"size_bytes": LOOK_AGAIN})
    _delete(connection, TEXT_LINES.c.text_id, texts)


def _drop_orphans(connection: Connection) -> None:
    """Delete rows that belong to none that is there."""
    for table in (PHOTOS, DESCRIPTIONS, FAILURES, FEATURES, GRIDS, TEXT_FEATURES, TEXT_LINES):
        for key in table.foreign_keys:
            connection.execute(delete(table).where(~exists().where(key.column == key.parent)))
    for table, other in ((FEATURES, GRIDS), (GRIDS, FEATURES)):
        beside = exists().where(other.c.content_id == table.c.content_id, other.c.model_id == table.c.model_id)
        connection.execute(delete(table).where(~beside))

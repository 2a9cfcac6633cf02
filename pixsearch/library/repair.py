"""Repair a database: delete damaged rows and their dependents, or copy the sound rows to a new database.

The repair does not need the photo files. The next run reads the files of deleted rows again. A run cannot restore the
folders and the model in use, so these are inferred from the sound rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import takewhile
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Table,
    delete,
    exists,
    func,
    insert,
    inspect,
    or_,
    select,
    text,
    true,
)
from sqlalchemy.exc import DBAPIError

from pixsearch.database.checksums import SEALED, is_sound, stored
from pixsearch.database.database import in_parts
from pixsearch.database.rows import AT_ONCE, change_rows, put_row, readable_rows
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
from pixsearch.library.photo_rows import PHOTOS_AND_METADATA, known
from pixsearch.library.postings import post_all_terms
from pixsearch.library.records import ScanRules
from pixsearch.library.texts import add_texts
from pixsearch.paths import below

Damaged = Mapping[str, Collection[tuple[Any, ...]]]
"""The primary keys of damaged rows, by table name."""
_RULES = asdict(ScanRules())
_GRIDS_AT_ONCE = 100


def drop_damaged(connection: Connection, damaged: Damaged) -> None:
    """Delete damaged rows and rows whose parents are missing. The caller must hold the write lock."""
    _restore_index(connection, damaged)
    _restore_roots(connection, damaged)
    keys = {name: [key[0] for key in keys] for name, keys in damaged.items()}
    _delete(connection, PHOTOS.c.id, [*keys.get("photos", ()), *keys.get("descriptions", ())])
    _delete(connection, PHOTOS.c.content_id, keys.get("contents", ()))
    _look_at_texts_again(connection, keys)
    for table in (FEATURES, GRIDS):  # neither is useful without the other
        for name in ("features", "grids"):
            _delete_rows(connection, table, damaged.get(name, ()))
    for table in (TEXT_FEATURES, TEXT_LINES, TEXT_FILES, TEXTS, CONTENTS, MODELS, FAILURES, RUNS):
        _delete_rows(connection, table, damaged.get(table.name, ()))
    _drop_orphans(connection)
    described = select(known("title"), known("caption")).select_from(PHOTOS_AND_METADATA).distinct()
    texts = {one for row in connection.execute(described) for one in row if one}
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
    """Restore the row of `vector_index` if it is damaged, or if one of its models is damaged or missing.

    The model with the most features becomes the model in use.
    """
    bad = [key[0] for key in damaged.get("models", ())]
    models = set(connection.scalars(select(MODELS.c.id).where(MODELS.c.id.not_in(bad))))
    row = connection.execute(stored(VECTOR_INDEX)).one_or_none()
    is_kept = row is not None and is_sound(VECTOR_INDEX, row)
    if row is not None and is_kept and {row.model_id, row.target_id} <= models | {None}:
        return
    of_sound = select(FEATURES.c.model_id).where(FEATURES.c.model_id.in_(models))
    most = of_sound.group_by(FEATURES.c.model_id).order_by(func.count().desc()).limit(1)
    saved = connection.scalar(select(func.max(VECTOR_FILES.c.generation))) or 0
    location = row.place if row is not None and is_kept else None
    connection.execute(delete(VECTOR_INDEX).where(VECTOR_INDEX.c.id != 1))
    searched = {"model_id": connection.scalar(most), "generation": saved + 1, "place": location, "target_id": None}
    put_row(connection, VECTOR_INDEX, {"id": 1, **searched})


def _restore_roots(connection: Connection, damaged: Damaged) -> None:
    """Restore the damaged or missing roots of photos, and delete damaged roots without photos.

    A root keeps its path if all its photos are below it. Otherwise, its path becomes their deepest common folder.
    """
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
    """Mark text files with damaged texts, so that the next run reads them again."""
    texts, lines = keys.get("texts", ()), keys.get("text_lines", ())
    of_texts = select(TEXT_LINES.c.file_id).where(TEXT_LINES.c.text_id.in_(texts))
    of_lines = or_(TEXT_FILES.c.id.in_(lines), TEXT_FILES.c.id.in_(of_texts))
    change_rows(connection, TEXT_FILES, of_lines, {"size_bytes": LOOK_AGAIN})
    _delete(connection, TEXT_LINES.c.text_id, texts)


def _drop_orphans(connection: Connection) -> None:
    """Delete rows whose parents are missing, features without a grid, and grids without features."""
    for table in (PHOTOS, DESCRIPTIONS, FAILURES, FEATURES, GRIDS, TEXT_FEATURES, TEXT_LINES):
        for key in table.foreign_keys:
            connection.execute(delete(table).where(~exists().where(key.column == key.parent)))
    for table, other in ((FEATURES, GRIDS), (GRIDS, FEATURES)):
        beside = exists().where(other.c.content_id == table.c.content_id, other.c.model_id == table.c.model_id)
        connection.execute(delete(table).where(~beside))


def readable_tables(connection: Connection) -> list[Table]:
    """Return the tables whose columns match the current schema, parents first."""
    found = []
    for table in SEALED:
        try:
            described = inspect(connection)
            is_table = table.name in described.get_table_names()
            if is_table and {column["name"] for column in described.get_columns(table.name)} == set(table.c.keys()):
                found.append(table)
        except Exception:  # noqa: BLE001 - a damaged table definition can raise anything
            continue
    # FEATURES contains the checksums for GRIDS.
    return found if FEATURES in found else [table for table in found if table is not GRIDS]


def copy_sound_rows(source: Connection, target: Connection) -> int:
    """Copy the sound rows of a database to an empty one, except for orphans. Return the number of sound rows."""
    from pixsearch.database.migrations import upgrade  # imports Alembic, which takes 0.2 s

    copied = 0
    upgrade(target)
    target.execute(delete(VECTOR_INDEX))  # the row of a new library
    for table in readable_tables(source):
        rows = []
        for row in readable_rows(source, table, _GRIDS_AT_ONCE if table.name == "grids" else AT_ONCE):
            if is_sound(table, row[:-1]):
                rows.append(_values(table, row))
                copied += 1
            if len(rows) >= _GRIDS_AT_ONCE:
                _insert(target, table, rows)
                rows = []
        _insert(target, table, rows)
    # Content ids must never be reused.
    sequence = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
    with suppress(DBAPIError):
        last = source.scalar(sequence, {"table": CONTENTS.name})
        if isinstance(last, int):
            keep = text("UPDATE sqlite_sequence SET seq = max(seq, :last) WHERE name = :table")
            target.execute(keep, {"last": last, "table": CONTENTS.name})
    drop_damaged(target, {})
    # It is unknown which rows were lost, so everything that may have lost rows is read again.
    described = exists().where(DESCRIPTIONS.c.photo_id == PHOTOS.c.id)
    change_rows(target, PHOTOS, ~described, {"metadata_version": 0})
    change_rows(target, TEXT_FILES, true(), {"size_bytes": LOOK_AGAIN})
    return copied


def _values(table: Table, row: Row[Any]) -> dict[str, Any]:
    return dict(zip(table.c.keys(), row, strict=False))


def _insert(target: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        # If two rows have the same key, only one of them can be found through the table's index.
        target.execute(insert(table).prefix_with("OR IGNORE"), rows)

"""A new database file with the sound rows of one whose pages are damaged."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, exists, insert, inspect, text, true
from sqlalchemy.exc import DBAPIError

from pixsearch.database.checksums import SEALED, is_sound
from pixsearch.database.migrations import upgrade
from pixsearch.database.rows import AT_ONCE, change_rows, readable_rows
from pixsearch.database.schema import (
    CONTENTS,
    DESCRIPTIONS,
    FEATURES,
    GRIDS,
    LOOK_AGAIN,
    PHOTOS,
    TEXT_FILES,
    VECTOR_INDEX,
)
from pixsearch.library.dropping import drop_damaged

_GRIDS_AT_ONCE = 100


def readable_tables(connection: Connection) -> list[Table]:
    """Return the tables that are there and still described as this pixsearch describes them, parents first."""
    found = []
    for table in SEALED:
        try:
            described = inspect(connection)
            is_table = table.name in described.get_table_names()
            if is_table and {column["name"] for column in described.get_columns(table.name)} == set(table.c.keys()):
                found.append(table)
        except Exception:  # noqa: BLE001 - whatever is made of a description that is damaged, it cannot be read
            continue
    return found if FEATURES in found else [table for table in found if table is not GRIDS]  # whose checksums are there


def copy_sound_rows(source: Connection, target: Connection) -> int:
    """Fill an empty database, and return how many rows were sound; those of them that belong to none are left out."""
    copied = 0
    upgrade(target)
    target.execute(delete(VECTOR_INDEX))  # the one of a new library
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
    # No id of a content is ever given again.
    given = text("SELECT seq FROM sqlite_sequence WHERE name = :table")
    with suppress(DBAPIError):
        last = source.scalar(given, {"table": CONTENTS.name})
        if isinstance(last, int):
            keep = text("UPDATE sqlite_sequence SET seq = max(seq, :last) WHERE name = :table")
            target.execute(keep, {"last": last, "table": CONTENTS.name})
    drop_damaged(target, {})
    # Which rows were lost nobody knows: what may have had some is read again.
    described = exists().where(DESCRIPTIONS.c.photo_id == PHOTOS.c.id)
    change_rows(target, PHOTOS, ~described, {"metadata_version": 0})
    change_rows(target, TEXT_FILES, true(), {"size_bytes": LOOK_AGAIN})
    return copied


def put_in_place(new: Path, damaged: Path) -> Path:
    """Let the new file take the name of the damaged one. Returns under which name that is kept. Raises OSError."""
    kept = damaged.with_name(f"{damaged.name}.damaged")
    shutil.copymode(damaged, new)
    kept.unlink(missing_ok=True)
    try:
        os.link(damaged, kept)
    except OSError:  # not on every drive
        shutil.copyfile(damaged, kept)
    # SQLite would take the journal of the one for that of the other.
    damaged.with_name(f"{damaged.name}-journal").unlink(missing_ok=True)
    new.replace(damaged)
    return kept


def new_file(folder: Path) -> Path:
    """Make an empty file in a folder, under a name that nobody has. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix="library.db.", dir=folder)
    os.close(descriptor)
    return Path(name)


def _values(table: Table, row: Row[Any]) -> dict[str, Any]:
    return dict(zip(table.c.keys(), row, strict=False))


def _insert(target: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        # Of two rows with one key only one can be read through the table's index.
        target.execute(insert(table).prefix_with("OR IGNORE"), rows)

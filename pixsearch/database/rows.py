"""Read and write rows with checksums, skipping damaged rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Table,
    bindparam,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from pixsearch.database.checksums import CHECKSUM, is_sound, sealed, stored
from pixsearch.database.schema import CONTENTS, PHOTOS

Key = TypeVar("Key")
Result = TypeVar("Result")

AT_ONCE = 1000
_STREAMED = 10_000
_LAST_NUMBER = 1 << 40
"""A number larger than the number of rows in any table."""
MALFORMED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH)
"""The SQLite error codes for unreadable pages."""


class Damage:
    """A record of damaged items that were skipped while reading. Each item counts once."""

    def __init__(self) -> None:
        self._met: dict[tuple[str, object], None] = {}

    def note(self, what: str, key: object) -> None:
        self._met[what, key] = None

    def __len__(self) -> int:
        return len(self._met)


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows. Each row must contain all columns except an id. An empty sequence is allowed."""
    if rows:
        connection.execute(insert(table), [sealed(table, row) for row in rows])


def insert_row(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert a row and return its id."""
    return int(connection.execute(insert(table).values(sealed(table, row)).returning(table.c.id)).scalar_one())


def put_row(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row with a given id, or replace the existing row with that id."""
    values = sealed(table, row)
    if not connection.execute(update(table).where(table.c.id == row["id"]).values(values)).rowcount:
        connection.execute(insert(table).values(values))


def change_rows(
    connection: Connection, table: Table, where: ColumnElement[bool], changes: Mapping[str, Any]
) -> Sequence[Row[Any]]:
    """Change columns in all rows that match a condition, and return the rows before the change.

    A damaged row remains marked as damaged, because the damage may be in a different column.
    """
    rows = connection.execute(stored(table).where(where)).all()
    _change(connection, table, [(row, changes) for row in rows])
    return rows


def change_each(connection: Connection, table: Table, changes: Mapping[int, Mapping[str, Any]]) -> None:
    """Change the same columns in several rows. `changes` contains the new values by row id. See `change_rows`."""
    rows = connection.execute(stored(table).where(table.c.id.in_(changes))).all()
    _change(connection, table, [(row, changes[row.id]) for row in rows])


def _change(connection: Connection, table: Table, rows: Sequence[tuple[Row[Any], Mapping[str, Any]]]) -> None:
    changed = []
    for row, changes in rows:
        before = dict(zip(table.c.keys(), row, strict=True))
        after = {**before, **changes}
        after = sealed(table, after) if is_sound(table, row) else after
        key = {f"of_{column.name}": before[column.name] for column in table.primary_key}
        changed.append(key | {name: after[name] for name in (*changes, CHECKSUM)})
    if changed:
        of_row = (column == bindparam(f"of_{column.name}") for column in table.primary_key)
        connection.execute(update(table).where(*of_row), changed)


def in_halves(
    keys: Sequence[Key], read: Callable[[Sequence[Key]], Sequence[Result]], unreadable: Callable[[Key], object]
) -> list[Result]:
    """Read the results for a sequence of keys. If SQLite cannot read a page, skip and report the keys on that page."""
    if not keys:
        return []
    try:
        return list(read(keys))
    except DBAPIError as error:
        if not is_malformed(error):
            raise
    if len(keys) == 1:
        unreadable(keys[0])
        return []
    half = len(keys) // 2
    return in_halves(keys[:half], read, unreadable) + in_halves(keys[half:], read, unreadable)


def sound_rows(
    table: Table, keys: Sequence[int], read: Callable[[Sequence[int]], Sequence[Row[Any]]], damage: Damage
) -> list[Row[Any]]:
    """Return the rows of a table for a sequence of keys, leaving out damaged rows.

    `read` must return the columns of `stored`, with the key in the first column.
    """
    rows = in_halves(keys, read, partial(damage.note, table.name))
    sound = []
    for row in rows:
        if is_sound(table, row):
            sound.append(row)
        else:
            damage.note(table.name, row[0])
    return sound


def in_ranges(
    connection: Connection, statement: Select[Any], damage: Damage, passes: Callable[[Row[Any]], bool] = bool
) -> list[Row[Any]]:
    """Return the rows that a statement on photos selects and that pass a test.

    If SQLite cannot read a page, photos whose contents are on that page are left out.
    """
    streamed = {"yield_per": _STREAMED}
    try:
        return list(filter(passes, connection.execute(statement, execution_options=streamed)))
    except DBAPIError as error:
        if not is_malformed(error):
            raise

    def read(ids: Sequence[int]) -> Sequence[Row[Any]]:
        of_ids = PHOTOS.c.content_id.between(ids[0], ids[-1])
        return list(filter(passes, connection.execute(statement.where(of_ids), execution_options=streamed)))

    contents = [row[0] for row in readable_rows(connection, CONTENTS)]
    return in_halves(sorted(contents), read, partial(damage.note, CONTENTS.name))


def values_of(connection: Connection, column: Column[Any], damage: Damage) -> set[Any]:
    """Return the distinct values in the readable part of a column."""
    try:
        return set(connection.scalars(select(column).distinct()))
    except DBAPIError as error:
        if not is_malformed(error):
            raise
    damage.note(column.table.name, None)
    index = column.table.columns.keys().index(column.name)
    return {row[index] for row in readable_rows(connection, column.table)}


def keys_of(connection: Connection, table: Table, model_id: int | None, damage: Damage) -> list[int]:
    """Return the ids for which a table contains features from a model. This is fast, since it reads only the index."""
    try:
        return integers(connection.execute(select(table.columns[0]).where(table.c.model_id == model_id)).all())
    except DBAPIError as error:
        if not is_malformed(error):
            raise
    damage.note(table.name, None)
    return integers([row for row in readable_rows(connection, table) if row.model_id == model_id])


def integers(rows: Sequence[Row[Any]]) -> list[int]:
    """Return the first value of each row, skipping values that are not integers because of damage."""
    return [row[0] for row in rows if isinstance(row[0], int)]


def is_malformed(error: DBAPIError) -> bool:
    """Return whether an error means that SQLite cannot read a page. The transaction remains open."""
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in MALFORMED  # the low byte is the primary error code


def readable_rows(connection: Connection, table: Table, at_once: int = AT_ONCE) -> Iterator[Row[Any]]:
    """Yield all readable rows of a table, even damaged ones, each followed by its checksum and rowid.

    If SQLite cannot read a page, the rows on that page are left out.
    """
    statement = stored(table)
    if connection.dialect.name != "sqlite":
        number: ColumnElement[Any] = literal_column("NULL")
        yield from connection.execute(statement.add_columns(number), execution_options={"yield_per": at_once})
        return
    rowid = literal_column(f"{table.name}.rowid", Integer)
    statement = statement.add_columns(rowid).order_by(rowid)

    def read(after: int, count: int) -> Sequence[Row[Any]] | None:
        """Return up to `count` rows after a rowid, or None if a page is unreadable or the rows are not in order."""
        try:
            rows = connection.execute(statement.where(rowid > bindparam("after")).limit(count), {"after": after}).all()
        except DBAPIError as error:
            if not is_malformed(error):
                raise
            return None
        numbers = [after, *(row[-1] for row in rows)]
        return rows if all(one < other for one, other in pairwise(numbers)) else None

    last, count = -1, at_once
    while True:
        rows = read(last, count)
        if rows is None and count > 1:
            count = max(1, count // 4)
        elif rows is None:
            if (readable := _first_readable(last, lambda after: read(after, 1) is not None)) is None:
                return
            last = readable
        elif rows:
            yield from rows
            last, count = rows[-1][-1], min(2 * count, at_once)
        else:
            return


def _first_readable(last: int, is_readable: Callable[[int], bool]) -> int | None:
    """Return the first rowid after `last` from which rows are readable again, or None.

    First double the step size until a readable rowid is found, then use binary search between the last two steps.
    """
    step = 1
    while not is_readable(last + step):
        step *= 2
        if step > _LAST_NUMBER:
            return None
    low, high = last + step // 2, last + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_readable(middle) else (middle, high)
    return high

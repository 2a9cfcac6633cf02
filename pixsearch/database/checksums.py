"""The checksum of a row: whether what is read is what was stored.

CRC-32 of all columns but the checksum itself and an id that the database gives, as a signed number, so that SQLite
keeps it in four bytes and one for its type. It notices rot, not malice. Such ids need none: a row under another id is
missing from the database's own indexes, which its own check compares.

The checksum of a pixel grid stands in its row of `features`, so that no grid had to be written again to get one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import JSON, Boolean, Double, Integer, LargeBinary, Select, String, Table, select

from pixsearch.database.schema import FEATURES, GRIDS, METADATA, POSTINGS, VECTOR_FILES, VECTOR_OUTBOX

CHECKSUM = "checksum"

SEALED = tuple(table for table in METADATA.sorted_tables if table not in (POSTINGS, VECTOR_OUTBOX, VECTOR_FILES))
"""The tables whose rows have one, parents first. The others follow from these, say what is still to be done, or name a
file by its SHA-256: where they rot, it is done again."""

_GIVEN = "id"
_LONG = ("embedding", "grid")
_KINDS: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (Boolean, bool),
    (Integer, int),
    (Double, lambda number: float(number) + 0.0),  # no -0.0, of which SQLite makes 0.0
    (LargeBinary, bytes),
    (JSON, lambda value: list(value) if isinstance(value, tuple) else value),
    (String, str),
)


def stored(table: Table) -> Select[Any]:
    """Return the statement for the rows of a table, each with its checksum at the end."""
    if table is not GRIDS:
        return select(*table.c)
    beside = (FEATURES.c.content_id == GRIDS.c.content_id) & (FEATURES.c.model_id == GRIDS.c.model_id)
    return select(*GRIDS.c, FEATURES.c.grid_checksum).select_from(GRIDS.outerjoin(FEATURES, beside))


def is_sound(table: Table, row: Sequence[Any]) -> bool:
    """Return whether a row, with its columns in the order of `stored`, is as it was written."""
    first, long = _SHAPES[table.name]
    return bool(checksum(row[first:-1], long) == row[-1])


def sealed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row, by the names of all columns, as it is to be written: with its checksum.

    Raises KeyError for a column that is missing; only an id may be.
    """
    first, long = _SHAPES[table.name]
    values = {name: None if row[name] is None else kind(row[name]) for name, kind in _COLUMNS[table.name][first:]}
    return {**row, **values, CHECKSUM: checksum(tuple(values.values()), long)}


def grid_checksum(content_id: int, model_id: int, grid: bytes) -> int:
    """Return what the row of `features` beside a grid says of it."""
    return checksum((content_id, model_id, grid), 2)


def checksum(values: Sequence[Any], long: int | None = None) -> int:
    """Return the checksum of values, of which the one at the index `long` is many bytes."""
    if long is None:
        crc = crc32(ascii(tuple(values)).encode())
    else:
        crc = crc32(ascii((*values[:long], *values[long + 1 :])).encode())
        crc = crc32(values[long], crc) if isinstance(values[long], bytes) else crc
    return crc - (crc >> 31 << 32)


def _columns(table: Table) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return the columns that the checksum is over, and an id in front, each with what makes its values its own."""
    return [
        (column.name, next(make for kind, make in _KINDS if isinstance(column.type, kind)))
        for column in table.c
        if column.name != CHECKSUM
    ]


def _shape(table: Table) -> tuple[int, int | None]:
    """Return the index of the first column that the checksum is over, and among these that of a long value."""
    covered = [name for name, _ in _columns(table) if name != _GIVEN]
    return len(_columns(table)) - len(covered), next((covered.index(name) for name in _LONG if name in covered), None)


_COLUMNS = {table.name: _columns(table) for table in SEALED}
_SHAPES = {table.name: _shape(table) for table in SEALED}

"""The checksums of rows, which show whether a row is read as it was written.

A checksum is the CRC-32 of all columns except itself and an id assigned by the database, as a signed number, so that
SQLite stores it in four bytes and one for its type. It detects decay, not malice. Ids need no checksum: a row with a
wrong id is missing from the database's own indexes, which the database checks.

The checksum of a pixel grid is in its row of `features`, so that existing grids did not have to be rewritten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import JSON, Boolean, Double, Integer, LargeBinary, Select, String, Table, select

from pixsearch.database.schema import FEATURES, GRIDS, METADATA, POSTINGS, VECTOR_FILES, VECTOR_OUTBOX

CHECKSUM = "checksum"

SEALED = tuple(table for table in METADATA.sorted_tables if table not in (POSTINGS, VECTOR_OUTBOX, VECTOR_FILES))
"""The tables whose rows have a checksum, parents first. The others are derived from these, list work that can be
repeated, or name a file by its SHA-256."""

_GIVEN = "id"
_LONG = ("embedding", "grid")
_KINDS: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (Boolean, bool),
    (Integer, int),
    (Double, lambda number: float(number) + 0.0),  # not -0.0, which SQLite turns into 0.0
    (LargeBinary, bytes),
    (JSON, lambda value: list(value) if isinstance(value, tuple) else value),
    (String, str),
)


def stored(table: Table) -> Select[Any]:
    """Return the statement for the rows of a table, each with its checksum as the last column."""
    if table is not GRIDS:
        return select(*table.c)
    beside = (FEATURES.c.content_id == GRIDS.c.content_id) & (FEATURES.c.model_id == GRIDS.c.model_id)
    return select(*GRIDS.c, FEATURES.c.grid_checksum).select_from(GRIDS.outerjoin(FEATURES, beside))


def is_sound(table: Table, row: Sequence[Any]) -> bool:
    """Return whether a row, with its columns in the order of `stored`, matches its checksum."""
    first, long = _SHAPES[table.name]
    return bool(checksum(row[first:-1], long) == row[-1])


def sealed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row, given by column names, with its checksum.

    Raises KeyError if a column other than an id is missing.
    """
    first, long = _SHAPES[table.name]
    values = {name: None if row[name] is None else kind(row[name]) for name, kind in _COLUMNS[table.name][first:]}
    return {**row, **values, CHECKSUM: checksum(tuple(values.values()), long)}


def grid_checksum(content_id: int, model_id: int, grid: bytes) -> int:
    """Return the checksum of a grid, to be stored in its row of `features`."""
    return checksum((content_id, model_id, grid), 2)


def checksum(values: Sequence[Any], long: int | None = None) -> int:
    """Return the checksum of values. The one at the index `long`, if given, is a long byte string."""
    if long is None:
        crc = crc32(ascii(tuple(values)).encode())
    else:
        crc = crc32(ascii((*values[:long], *values[long + 1 :])).encode())
        crc = crc32(values[long], crc) if isinstance(values[long], bytes) else crc
    return crc - (crc >> 31 << 32)


def _columns(table: Table) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return the columns covered by the checksum, after the id, each with the function that converts its values."""
    return [
        (column.name, next(make for kind, make in _KINDS if isinstance(column.type, kind)))
        for column in table.c
        if column.name != CHECKSUM
    ]


def _shape(table: Table) -> tuple[int, int | None]:
    """Return the index of the first column covered by the checksum, and the index of a long value among these."""
    covered = [name for name, _ in _columns(table) if name != _GIVEN]
    return len(_columns(table)) - len(covered), next((covered.index(name) for name in _LONG if name in covered), None)


_COLUMNS = {table.name: _columns(table) for table in SEALED}
_SHAPES = {table.name: _shape(table) for table in SEALED}

"""Row checksums, which detect rows that have changed since they were written.

A checksum is the CRC-32 of all columns except the checksum itself and any id assigned by the database. It is a signed
number, so that SQLite needs only four bytes plus one for the type. Checksums detect data corruption, not tampering. Ids
need no checksum: a row with a wrong id is missing from the database's own indexes, which the database checks.

The checksum of a pixel grid is stored in the corresponding row of `features`, so that adding checksums did not require
rewriting existing grids.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from sqlalchemy import JSON, Boolean, Double, Integer, LargeBinary, Select, String, Table, select

from pixsearch.database.schema import FEATURES, GRIDS, METADATA, POSTINGS, VECTOR_FILES, VECTOR_OUTBOX

CHECKSUM = "checksum"

SEALED = tuple(table for table in METADATA.sorted_tables if table not in (POSTINGS, VECTOR_OUTBOX, VECTOR_FILES))
"""The tables whose rows have checksums, parents first.

The other tables are derived from these, list work that can be repeated, or contain the SHA-256 of a file."""

_GIVEN = "id"
_LONG = ("embedding", "grid")
_KINDS: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (Boolean, bool),
    (Integer, int),
    (Double, lambda number: float(number) + 0.0),  # SQLite turns -0.0 into 0.0
    (LargeBinary, bytes),
    (JSON, lambda value: list(value) if isinstance(value, tuple) else value),
    (String, str),
)


def stored(table: Table) -> Select[Any]:
    """Return a statement that selects the rows of a table, with the checksum as the last column."""
    if table is not GRIDS:
        return select(*table.c)
    beside = (FEATURES.c.content_id == GRIDS.c.content_id) & (FEATURES.c.model_id == GRIDS.c.model_id)
    return select(*GRIDS.c, FEATURES.c.grid_checksum).select_from(GRIDS.outerjoin(FEATURES, beside))


def is_sound(table: Table, row: Sequence[Any]) -> bool:
    """Return whether a row matches its checksum. The columns must be in the same order as in `stored`."""
    first, long = _SHAPES[table.name]
    return bool(checksum(row[first:-1], long) == row[-1])


def sealed(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with its checksum added. Rows map column names to values.

    Raises KeyError if a column other than an id is missing.
    """
    first, long = _SHAPES[table.name]
    values = {name: None if row[name] is None else kind(row[name]) for name, kind in _COLUMNS[table.name][first:]}
    return {**row, **values, CHECKSUM: checksum(tuple(values.values()), long)}


def grid_checksum(content_id: int, model_id: int, grid: bytes) -> int:
    """Return the checksum of a grid for the corresponding row of `features`."""
    return checksum((content_id, model_id, grid), 2)


def checksum(values: Sequence[Any], long: int | None = None) -> int:
    """Return the checksum of a sequence of values. `long` is the index of a long byte string among them, if any."""
    if long is None:
        crc = crc32(ascii(tuple(values)).encode())
    else:
        crc = crc32(ascii((*values[:long], *values[long + 1 :])).encode())
        crc = crc32(values[long], crc) if isinstance(values[long], bytes) else crc
    return crc - (crc >> 31 << 32)


def _columns(table: Table) -> list[tuple[str, Callable[[Any], Any]]]:
    """Return the names of all columns except the checksum, each with a function that converts its values."""
    return [
        (column.name, next(make for kind, make in _KINDS if isinstance(column.type, kind)))
        for column in table.c
        if column.name != CHECKSUM
    ]


def _shape(table: Table) -> tuple[int, int | None]:
    """Return the index of the first checksummed column, and the index of any long value counted from that column."""
    covered = [name for name, _ in _columns(table) if name != _GIVEN]
    return len(_columns(table)) - len(covered), next((covered.index(name) for name in _LONG if name in covered), None)


_COLUMNS = {table.name: _columns(table) for table in SEALED}
_SHAPES = {table.name: _shape(table) for table in SEALED}
